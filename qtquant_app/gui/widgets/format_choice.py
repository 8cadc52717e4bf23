"""Chooses the output format."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.gui.catalog import Catalog
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Text, plain_tip


class FormatChoice(QWidget):
    """The combo box of formats and, below, what the chosen one is and who reads it."""

    format_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.combo = ChoiceBox()
        self.combo.setObjectName("formatCombo")
        self.combo.setAccessibleName("Output format")
        self._about = Text(muted=True, wrap=True)
        self._catalog = Catalog()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.combo)
        layout.addWidget(self._about)
        self.set_catalog(self._catalog)
        self.combo.currentIndexChanged.connect(self._on_chosen)

    def set_catalog(self, catalog: Catalog) -> None:
        """Offers the formats of `catalog`, those that are missing something disabled with their reason."""
        self._catalog = catalog
        chosen = self.combo.currentData()
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for choice in catalog.formats:
                self.combo.addItem(choice.title, choice.name)
                row = self.combo.count() - 1
                self.combo.setItemData(row, plain_tip(choice.reason or choice.description), Qt.ItemDataRole.ToolTipRole)
                model = self.combo.model()
                if isinstance(model, QStandardItemModel):
                    model.item(row).setEnabled(choice.available)
        if chosen:
            self.set_format(chosen)
        self._describe()

    def set_format(self, name: str) -> None:
        """Shows `name`, saying nothing; a format that is not known stays visible for the planner to refuse."""
        with QSignalBlocker(self.combo):
            if self.combo.findData(name) < 0:
                self.combo.addItem(name, name)
            self.combo.setCurrentIndex(self.combo.findData(name))
        self._describe()

    def _on_chosen(self) -> None:
        self._describe()
        self.format_changed.emit(self.combo.currentData())

    def _describe(self) -> None:
        name = self.combo.currentData()
        chosen = next((choice for choice in self._catalog.formats if choice.name == name), None)
        if chosen is None or not chosen.readers:
            self._about.setText("")
            return
        widths = f"{min(chosen.bits)} to {max(chosen.bits)} bits" if _dense(chosen.bits) else _listed(chosen.bits)
        self._about.setText(f"{widths}. Read by {', '.join(chosen.readers)}.")


def _dense(bits: tuple[int, ...]) -> bool:
    return len(bits) > 2 and max(bits) - min(bits) + 1 == len(bits)


def _listed(bits: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, bits))} bits" if bits else "Float weights"
