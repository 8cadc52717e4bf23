"""Checkpoints opened lately."""

from __future__ import annotations

from PySide6.QtCore import QLocale, QModelIndex, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyledItemDelegate

from qtquant_app.gui.theme import colors
from qtquant_app.gui.widgets.text import cell_text

EMPTY = "What you open is listed here, for the next time."


class _Paths(QStyledItemDelegate):
    """Shows a path on one line, whatever is in it; the model keeps it as it is, to be opened."""

    def displayText(self, value: object, locale: QLocale | QLocale.Language) -> str:
        return cell_text(str(value))


class RecentList(QListView):
    """One path a line, its end in sight; Enter or a double click opens it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("recentList")
        self.setAccessibleName("Recent checkpoints")
        self.setAccessibleDescription("Enter opens the chosen one")
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setUniformItemSizes(True)
        self.setItemDelegate(_Paths(self))
        self.setSpacing(2)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self.model().rowCount(QModelIndex()):
            painter = QPainter(self.viewport())
            painter.setPen(colors(self.palette()).muted)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.viewport().rect().adjusted(16, 8, -16, -8), flags, EMPTY)
            painter.end()
