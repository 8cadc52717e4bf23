"""A dense table: whole rows are chosen, columns sort, what is chosen can be copied, and all of it saved."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QGuiApplication, QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableView,
    QWidget,
)

from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.theme import GRID, tabular
from qtquant_app.gui.widgets.export_menu import table_menu
from qtquant_app.gui.widgets.text import Text


class Table(QTableView):
    """Shows a RowsModel. The first column takes the room that the others leave. Ctrl+C copies rows with tabs between."""

    def __init__(self, model: RowsModel, name: str, spoken: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setProperty("rows", True)  # the style sheet sets its cells apart
        self.setAccessibleName(spoken)
        self.setFont(tabular(self.font()))
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrows walk in it
        self.setCornerButtonEnabled(False)
        self._least_rows = 0
        self._empty = Text(muted=True, wrap=True)
        self._empty.setParent(self.viewport())
        self._empty.setForegroundRole(QPalette.ColorRole.WindowText)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        model.modelReset.connect(self._say_if_empty)
        self._size_rows()
        self._size_columns(model)
        self.menu = table_menu(self, model.numbers, self.copy_rows)

    def copy_rows(self) -> None:
        """Puts the chosen rows, or all where none is, on the clipboard under their titles."""
        model = self.model()
        if not isinstance(model, RowsModel):
            return
        chosen = sorted(index.row() for index in self.selectionModel().selectedRows())
        QGuiApplication.clipboard().setText(model.tabbed(chosen or range(model.rowCount(QModelIndex()))))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        others = sum(self.columnWidth(i) for i in range(1, self.model().columnCount()))
        self.setColumnWidth(0, max(self._least, self.viewport().width() - others))
        self._empty.setGeometry(self.viewport().rect().adjusted(4 * GRID, 0, -4 * GRID, 0))

    def set_empty_text(self, text: str) -> None:
        """What to do next, in the middle while there are no rows."""
        self._empty.setText(text)
        self._say_if_empty()

    def set_narrow(self, samples: Mapping[int, str]) -> None:
        """Gives columns just the room of a sample text: for a table that has little."""
        for at, sample in samples.items():
            self.setColumnWidth(at, self.fontMetrics().horizontalAdvance(sample) + 5 * GRID)
        self._least = self.columnWidth(0)

    def fit_rows(self, least: int) -> None:
        """Makes the table as high as its rows are, `least` at least: what stands below it stays near, and in sight."""
        self._least_rows = least
        self.model().modelReset.connect(self._fit_height)
        self._fit_height()

    def _fit_height(self) -> None:
        rows = max(self._least_rows, self.model().rowCount(QModelIndex()))
        bars = self.horizontalHeader().sizeHint().height() + self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(rows * self.verticalHeader().defaultSectionSize() + bars + 2 * self.frameWidth())

    def _say_if_empty(self) -> None:
        self._empty.setVisible(not self.model().rowCount(QModelIndex()))

    def _size_rows(self) -> None:
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        height = -(-(self.fontMetrics().height() + 5) // GRID) * GRID
        rows.setMinimumSectionSize(height)
        rows.setDefaultSectionSize(height)

    def _size_columns(self, model: RowsModel) -> None:
        """Widths come from each column's longest usual text: measuring the rows would cost with their number."""
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(10 * GRID)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        metrics = self.fontMetrics()
        arrow = 5 * GRID
        for i, column in enumerate(model.columns):
            widest = max(metrics.horizontalAdvance(column.title) + arrow, metrics.horizontalAdvance(column.sample))
            self.setColumnWidth(i, widest + 5 * GRID)
        self._least = self.columnWidth(0)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
