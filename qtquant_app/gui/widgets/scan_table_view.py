"""The table of tensors by schemes."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QWidget

from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.models.scan_table import ScanTable
from qtquant_app.gui.widgets.table import Table


class ScanTableView(Table):
    """Going to a row chooses its tensor; a tensor chosen elsewhere is gone to, without choosing it again."""

    chosen = Signal(str)
    """The name of a tensor."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.rows = ScanTable()
        super().__init__(self.rows, "scanTable", "Tensors and their SQNR under each scheme", parent)
        self.rows.setParent(self)
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)  # names differ at their ends
        self.rows.set_palette(self.palette())
        self._selected = ""
        self._following = False
        self.selectionModel().currentRowChanged.connect(self._go)

    def take(self, digest: Digest | None) -> None:
        """Shows `digest`; sorting and selection stay where its tensors are the same."""
        schemes = len(self.rows.columns)
        self._following = True
        if self.rows.take(digest):
            if len(self.rows.columns) != schemes or self.rows.sorted_column < 0:
                self._size_columns(self.rows)
                self._fit_first()
            self.select(self._selected)
        self._following = False

    def select(self, name: str) -> None:
        """Goes to the row of a tensor."""
        self._selected = name
        row = self.rows.row_of(name)
        self._following = True
        if row is None:
            self.clearSelection()
        else:
            there = self.rows.index(row, 0)
            if self.currentIndex().row() != row or not self.selectionModel().isRowSelected(row, QModelIndex()):
                self.setCurrentIndex(there)
            self.scrollTo(there, QAbstractItemView.ScrollHint.EnsureVisible)
        self._following = False

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.__dict__.get("rows") is not None:
            self.rows.set_palette(self.palette())
            self.viewport().update()

    def _go(self, current: QModelIndex) -> None:
        if current.isValid() and not self._following:
            self._selected = self.rows.name(current.row())
            self.chosen.emit(self._selected)

    def _fit_first(self) -> None:
        """The tensor's name has the room that the figures leave."""
        others = sum(self.columnWidth(column) for column in range(1, len(self.rows.columns)))
        self.setColumnWidth(0, max(self._least, self.viewport().width() - others))
