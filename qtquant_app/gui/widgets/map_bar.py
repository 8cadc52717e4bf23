"""What the error map shows of each weight, how weights share a cell, and how values get their colours."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QHBoxLayout, QWidget

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.gui.plots.tones import Scaling
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Text, plain_tip

_REDUCTIONS = (("Largest", False), ("Mean", True))


class MapBar(QWidget):
    """A row of three choices above the map."""

    view_changed = Signal(object)
    """View"""
    mean_changed = Signal(bool)
    """Whether cells show means in place of the largest magnitude."""
    scaling_changed = Signal(object)
    """Scaling"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view_combo = _choice("mapViewCombo", "View of the error map", "What each cell shows")
        self.cell_combo = _choice(
            "mapCellCombo",
            "Weights of a cell",
            "What stands for all weights of a cell: the largest magnitude hides no peak",
        )
        self.scale_combo = _choice(
            "mapScaleCombo", "Scale of the colours", "One outlier darkens all else on a linear scale"
        )
        for view in View:
            self.view_combo.addItem(view.label, view)
        for text, mean in _REDUCTIONS:
            self.cell_combo.addItem(text, mean)
        for scaling in Scaling:
            self.scale_combo.addItem(scaling.label, scaling)
        self.offer(Scheme())
        self._lay_out()
        self.view_combo.currentIndexChanged.connect(lambda: self.view_changed.emit(self.view))
        self.cell_combo.currentIndexChanged.connect(lambda: self.mean_changed.emit(self.mean))
        self.scale_combo.currentIndexChanged.connect(lambda: self.scaling_changed.emit(self.scaling))

    @property
    def view(self) -> View:
        return View(self.view_combo.currentData())

    @property
    def mean(self) -> bool:
        return bool(self.cell_combo.currentData())

    @property
    def scaling(self) -> Scaling:
        return Scaling(self.scale_combo.currentData())

    def set_view(self, view: View) -> None:
        """Chooses `view`, as a person would."""
        self.view_combo.setCurrentIndex(list(View).index(view))

    def offer(self, scheme: Scheme) -> None:
        """Greys out the views that have no meaning under `scheme`, with the reason; leaves one of them, saying nothing."""
        if self.view.why_not(scheme):
            with QSignalBlocker(self.view_combo):
                self.set_view(View.ABSOLUTE)
        model = self.view_combo.model()
        for row, view in enumerate(View):
            why = view.why_not(scheme)
            self.view_combo.setItemData(row, plain_tip(why or view.formula), Qt.ItemDataRole.ToolTipRole)
            if isinstance(model, QStandardItemModel):
                model.item(row).setEnabled(not why)

    def _lay_out(self) -> None:
        label = Text("V&iew")
        label.setBuddy(self.view_combo)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2 * GRID)
        row.addWidget(label)
        row.addWidget(self.view_combo, 4)
        row.addWidget(self.cell_combo, 2)
        row.addWidget(self.scale_combo, 3)


def _choice(name: str, spoken: str, tip: str) -> ChoiceBox:
    box = ChoiceBox()
    box.setObjectName(name)
    box.setAccessibleName(spoken)
    box.setToolTip(tip)
    return box
