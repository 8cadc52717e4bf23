"""The context menu of whatever can be taken away, and Ctrl+C."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QAbstractScrollArea, QMenu, QTableView, QTreeView

from qtquant_app.gui.export import Numbers
from qtquant_app.gui.exporter import exporter_of
from qtquant_app.gui.widgets.text import mnemonic_safe


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu; one without `do` has nothing to do now, and shows as such."""

    text: str
    do: Callable[[], object] | None
    lines: tuple[Entry, ...] = ()
    """What opens beside it."""
    chosen: bool = False
    """It shows a tick."""


Entries = Callable[[], Iterable[Entry | None]]
"""Asked for each time the menu opens; None is a line between."""


class ExportMenu(QObject):
    """Opens on a right click, the Menu key and Shift+F10; Ctrl+C is its first entry."""

    def __init__(self, widget: QAbstractScrollArea, entries: Entries, copy: Callable[[], object] | None = None) -> None:
        """`copy` is what Ctrl+C does, where the widget does not see to it itself."""
        super().__init__(widget)
        self._widget = widget
        self._entries = entries
        self._copy = copy
        for watched in (widget, widget.viewport()):
            watched.installEventFilter(self)

    def menu(self) -> QMenu:
        """The menu as it would open now."""
        menu = QMenu(self._widget)
        menu.setAccessibleName(f"{self._widget.accessibleName()}: menu")
        fill_menu(menu, self._entries())
        return menu

    def popup(self, place: QPoint) -> QMenu:
        """Opens the menu at `place` of the screen."""
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(place)
        return menu

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QContextMenuEvent):
            by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
            self.popup(self._beside() if by_key else event.globalPos())
            return True
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._pressed(event)
        return super().eventFilter(watched, event)

    def _pressed(self, event: QKeyEvent) -> bool:
        if self._copy is not None and event.matches(QKeySequence.StandardKey.Copy):
            self._copy()
            return True
        shifted = event.modifiers() == Qt.KeyboardModifier.ShiftModifier
        if event.key() == Qt.Key.Key_Menu or (event.key() == Qt.Key.Key_F10 and shifted):
            self.popup(self._beside())
            return True
        return False

    def _beside(self) -> QPoint:
        """Where a menu asked for by key opens: under the current row, or in the middle."""
        viewport = self._widget.viewport()
        if isinstance(self._widget, QAbstractItemView):
            row = self._widget.visualRect(self._widget.currentIndex())
            if row.isValid() and viewport.rect().intersects(row):
                return viewport.mapToGlobal(QPoint(viewport.width() // 4, row.bottom()))
        return viewport.mapToGlobal(viewport.rect().center())


def fill_menu(menu: QMenu, entries: Iterable[Entry | None]) -> None:
    """Adds a line for each entry."""
    for entry in entries:
        if entry is None:
            menu.addSeparator()
        elif entry.lines:
            fill_menu(menu.addMenu(entry.text), entry.lines)
        else:
            action = menu.addAction(entry.text)
            action.setEnabled(entry.do is not None)
            action.setCheckable(entry.chosen)
            action.setChecked(entry.chosen)
            if entry.do is not None:
                action.triggered.connect(lambda _checked=False, do=entry.do: do())


def table_menu(
    view: QAbstractItemView,
    numbers: Callable[[], Numbers | None],
    copy: Callable[[], object],
    *,
    keys: bool = True,
    more: Entries | None = None,
) -> ExportMenu:
    """Gives a table or a tree of rows its menu: Copy, and Save as CSV. `keys=False` where Ctrl+C is seen to already.

    `numbers` hands over titles and rows; the rows are gone through in a worker, and must not touch a Qt model there. `more`
    are entries of the view's own, at the end.
    """

    def save() -> None:
        found = numbers()
        if found is not None:
            exporter_of(view).save_csv(view, view.accessibleName(), found)

    def entries() -> Iterable[Entry | None]:
        filled = bool(view.model() and view.model().rowCount())
        yield Entry("&Copy\tCtrl+C", copy if filled else None)
        yield Entry("&Save as CSV…", save if filled else None)
        columns = _sorting(view)
        if filled and columns:
            yield None
            yield Entry("S&ort by", None, columns)
        if filled and more:
            yield None
            yield from more()

    return ExportMenu(view, entries, copy if keys else None)


def _sorting(view: QAbstractItemView) -> tuple[Entry, ...]:
    """A line for each column that a click on its title would sort by; the one it is sorted by now turns round."""
    if not isinstance(view, (QTableView, QTreeView)) or not view.isSortingEnabled():
        return ()
    header = view.header() if isinstance(view, QTreeView) else view.horizontalHeader()
    current, order = header.sortIndicatorSection(), header.sortIndicatorOrder()
    other = _ORDERS[1 - _ORDERS.index(order)]

    def line(at: int) -> Entry:
        title = str(view.model().headerData(at, Qt.Orientation.Horizontal))
        wanted = other if at == current else _ORDERS[0]
        return Entry(mnemonic_safe(title), lambda: view.sortByColumn(at, wanted), chosen=at == current)

    shown = (at for at in range(header.count()) if not header.isSectionHidden(at))
    return tuple(line(at) for at in sorted(shown, key=header.visualIndex))


_ORDERS = (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder)
