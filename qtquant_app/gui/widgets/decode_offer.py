"""On the Recipe page of a checkpoint that is quantized already: what quantizing anew means, and the way back to floats."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QHBoxLayout

from qtquant_app.gui.session import Session
from qtquant_app.gui.steps import FLOATS
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.text import Text


class DecodeOffer(Card):
    """Hidden unless what is open is quantized; goes by the session alone."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("decodeOffer")
        self._session = session
        self.text = Text(wrap=True)
        self.decode_button = Button("Decode to floats", name="decodeButton")
        self.decode_button.setAccessibleDescription(
            "Takes the format safetensors, which holds float weights; it can be undone"
        )
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.text, 1)
        line.addWidget(self.decode_button)
        self.add(line)
        self.decode_button.clicked.connect(self.decode)
        session.checkpoint_changed.connect(self._refresh)
        session.recipe_changed.connect(self._refresh)
        self._refresh()

    def decode(self) -> None:
        """Has the run write float weights; one step to undo."""
        self._session.set_recipe(replace(self._session.recipe, format=FLOATS), "decode to floats")

    def _refresh(self) -> None:
        checkpoint = self._session.checkpoint
        packed = checkpoint.packed_by if checkpoint is not None else ""
        decodes = self._session.recipe.format == FLOATS
        self.decode_button.setVisible(not decodes)
        self.text.set_tone("text" if decodes else "warn")
        if decodes:
            self.text.setText(
                f"The weights are decoded from {packed} and written as floats. Another format quantizes them anew."
            )
        else:
            self.text.setText(
                f"\u26a0  This checkpoint is quantized already ({packed}): quantizing it anew adds to the errors that it has."
            )
        self.setVisible(bool(packed))
