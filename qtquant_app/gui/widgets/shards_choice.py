"""What becomes of the weight files of a model on the Hub while a run works on them."""

from __future__ import annotations

from typing import Literal, cast

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFormLayout

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.gui.widgets.choice_box import ChoiceBox

_CHOICES = (
    ("drop", "Fetch shard by shard, drop each when its result is safe", "Never two whole shards on the disk at once"),
    (
        "cache",
        "Keep them in the Hub's cache",
        "Other programs find them there; the whole model takes its room on the disk",
    ),
)


class ShardsChoice(ChoiceBox):
    """Shown for a model whose weight files are not here alone."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("sourceShardsCombo")
        self.setAccessibleName("Weight files from the Hub")
        for row, (name, title, tip) in enumerate(_CHOICES):
            self.addItem(title, name)
            self.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self._form: QFormLayout | None = None

    @property
    def value(self) -> Literal["drop", "cache"]:
        """What the options of a run call it."""
        return cast(Literal["drop", "cache"], self.currentData())

    def add_to(self, form: QFormLayout) -> None:
        """Puts it into a row of `form`, hidden as long as no such model is open."""
        form.addRow("Weight files", self)
        self._form = form
        self.set_checkpoint(None)

    def set_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        """Shows the row where the model's weight files have to be fetched."""
        if self._form is not None:
            self._form.setRowVisible(self, checkpoint is not None and checkpoint.remote is not None)
