"""Walks the window as somebody does who has a keyboard and no mouse."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QGraphicsView,
    QHeaderView,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QTabBar,
    QTabWidget,
    QTextEdit,
    QWidget,
)

from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.steps import Step

INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QLineEdit,
    QPlainTextEdit,
    QTabBar,
    QTextEdit,
)
PARTS = (QHeaderView, QScrollBar)
"""Worked through the view they belong to: its menu sorts, its arrow keys scroll."""
MOST_STEPS = 300


def views(window: MainWindow) -> Iterator[tuple[str, QWidget]]:
    """Each page, with each of its tabs in front in turn."""
    for step in Step:
        window.go(step)
        page = window.centralWidget()
        QApplication.processEvents()
        yield step.title, page
        for tabs in [found for found in page.findChildren(QTabWidget) if found.isVisible()]:
            before = tabs.currentIndex()
            for at in range(tabs.count()):
                if at != before:
                    tabs.setCurrentIndex(at)
                    QApplication.processEvents()
                    yield f"{step.title}, {tabs.tabText(at).replace('&', '')}", page
            tabs.setCurrentIndex(before)


def label(widget: QWidget) -> str:
    """Which widget it is, for whoever reads a failure."""
    return f"{type(widget).__name__} {widget.objectName() or widget.accessibleName() or '?'}"


def interactive(page: QWidget) -> list[QWidget]:
    """What can be used in sight: whatever takes the keyboard, and whatever reacts to a click."""
    return [
        widget
        for widget in page.findChildren(QWidget)
        if widget.isVisible()
        and widget.isEnabled()
        and not isinstance(widget, PARTS)
        and widget.focusProxy() is not widget.parentWidget()
        and (isinstance(widget, INTERACTIVE) or widget.focusPolicy() != Qt.FocusPolicy.NoFocus)
    ]


def picture_of(widget: QWidget) -> QImage:
    return widget.grab().toImage()


def focus_walk(window: MainWindow, back: bool = False) -> Iterator[QWidget]:
    """Each widget that Tab stops at, from the first one around to where it began; Shift+Tab where `back`."""
    key = Qt.Key.Key_Backtab if back else Qt.Key.Key_Tab
    held = Qt.KeyboardModifier.ShiftModifier if back else Qt.KeyboardModifier.NoModifier
    seen: list[QWidget] = []
    for _ in range(MOST_STEPS):
        current = QApplication.focusWidget()
        if current is None or current in seen:
            return
        seen.append(current)
        yield current
        QTest.keyClick(current, key, held)
        QApplication.processEvents()


def start(window: MainWindow) -> None:
    """The keyboard at the top of the window, as Tab finds it."""
    window.activateWindow()
    first = next(iter(window.rail.buttons.values()))
    QApplication.processEvents()
    first.clearFocus()
    first.setFocus(Qt.FocusReason.TabFocusReason)
    QApplication.processEvents()


def worked_by_others(widget: QWidget) -> bool:
    """Parts that are no stop of their own: the field of a combo or spin box, the button in a line, a tab bar's arrows."""
    parent = widget.parentWidget()
    inside = isinstance(parent, (QComboBox, QAbstractSpinBox, QLineEdit, QTabBar, QAbstractItemView))
    popup = widget.window() is not None and widget.window().windowType() == Qt.WindowType.Popup
    return inside or popup


def leaves_a_mark(widget: QWidget) -> bool:
    """Whether a look at `widget` tells that it has the keyboard: painted without it, it looks otherwise."""
    with_focus = picture_of(widget)
    widget.clearFocus()
    QApplication.processEvents()
    without = picture_of(widget)
    widget.setFocus(Qt.FocusReason.TabFocusReason)
    return with_focus != without
