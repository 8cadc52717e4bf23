"""Names for the parts that Qt makes by itself, so that whatever can be used is also called something."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QHeaderView,
    QLineEdit,
    QScrollBar,
    QSplitterHandle,
    QTabBar,
    QWidget,
)

_PARTS: tuple[tuple[type[QWidget], str], ...] = (
    (QHeaderView, "column titles"),
    (QScrollBar, "scroll bar"),
    (QSplitterHandle, "divider"),
    (QTabBar, "tabs"),
    (QAbstractItemView, "choices"),
    (QLineEdit, "text"),
    (QAbstractSlider, "slider"),
    (QAbstractButton, "button"),
)
_BUTTONS = {QLineEdit: "clear", QAbstractItemView: "select all"}


def name_parts(root: QWidget) -> None:
    """Calls every nameless part below `root` after the widget that it is a part of: `Filter the tensors: clear`."""
    for widget in root.findChildren(QWidget):
        part = _part(widget)
        if part and not widget.accessibleName():
            widget.setAccessibleName(f"{_owner(widget)}: {part}")


def _part(widget: QWidget) -> str:
    for kind, part in _PARTS:
        if isinstance(widget, kind):
            return _button(widget) if part == "button" else part
    return ""


def _button(widget: QWidget) -> str:
    parent = widget.parentWidget()
    return next((word for kind, word in _BUTTONS.items() if isinstance(parent, kind)), "button")


def _owner(widget: QWidget) -> str:
    parent = widget.parentWidget()
    while parent is not None and not parent.accessibleName():
        parent = parent.parentWidget()
    return parent.accessibleName() if parent is not None else "Window"
