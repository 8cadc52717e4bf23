"""The knobs of the scheme that is previewed, and where to use it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.scheme_editor import SchemeEditor
from qtquant_app.gui.widgets.text import Elided, tip_text


class SchemePanel(QWidget):
    """Edits the scheme that is previewed, and hands it on to the whole model or to one layer."""

    scheme_changed = Signal(object)
    """Scheme"""
    for_model = Signal(object)
    """Scheme, wanted for the whole model."""
    for_layer = Signal(object)
    """Scheme, wanted for the selected layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editor = SchemeEditor("inspect")
        self.model_button = QPushButton("Use for &model")
        self.rule_button = QPushButton("Add as &rule")
        self.hint = Elided(muted=True, mode=Qt.TextElideMode.ElideRight)
        self._name_widgets()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        uses = QHBoxLayout()
        for button in (self.model_button, self.rule_button):
            uses.addWidget(button, 1)
        column.addWidget(self.editor)
        column.addSpacing(GRID)
        column.addLayout(uses)
        column.addWidget(self.hint)
        self.editor.scheme_changed.connect(self.scheme_changed)
        self.model_button.clicked.connect(lambda: self.for_model.emit(self.editor.scheme))
        self.rule_button.clicked.connect(lambda: self.for_layer.emit(self.editor.scheme))

    @property
    def scheme(self) -> Scheme:
        return self.editor.scheme

    def offer(self, *, model: str, layer: str, count: int = 1) -> None:
        """Enables each button whose text is empty; another text says why there is nothing to do.

        A rule would be for `count` tensors.
        """
        whose = f"the {count:,} tensors chosen, in one rule" if count > 1 else "the selected layer alone"
        for button, why, title in (
            (self.model_button, model, "Makes this the default scheme of the recipe, for the whole model"),
            (self.rule_button, layer, f"Makes this the scheme of {whose}"),
        ):
            button.setEnabled(not why)
            button.setToolTip(tip_text(why or title))
        self.hint.setText(layer)

    def _name_widgets(self) -> None:
        self.model_button.setObjectName("useForModelButton")
        self.model_button.setAccessibleName("Use this scheme for the whole model")
        self.rule_button.setObjectName("addRuleButton")
        self.rule_button.setAccessibleName("Add this scheme as a rule for the selected layer")
        self.hint.setObjectName("schemeHint")
