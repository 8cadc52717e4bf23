"""How the Inspect page is laid out: the tree, what is looked at, the knobs and what they come to."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QTabWidget, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID

KNOBS_WIDTH = 308


def tabs(name: str, spoken: str, pages: Iterable[tuple[QWidget, str]]) -> QTabWidget:
    """Pages under tabs, in order. The tab bars take the keyboard; letters are for what the tabs hold."""
    found = QTabWidget()
    found.setObjectName(name)
    found.setAccessibleName(spoken)
    found.setDocumentMode(True)
    found.tabBar().setAccessibleName(spoken)
    found.tabBar().setExpanding(False)
    found.setUsesScrollButtons(True)
    for page, title in pages:
        found.addTab(page, title)
    return found


def scrolling(widget: QWidget, spoken: str) -> QScrollArea:
    """`widget` where there may be too little height for it."""
    area = QScrollArea()
    area.setAccessibleName(spoken)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(widget)
    return area


def knobs_column(panel: QWidget, below: QWidget) -> QWidget:
    """The knobs with, below them, what they come to."""
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2 * GRID)
    layout.addWidget(panel)
    layout.addWidget(below, 1)
    column.setMinimumWidth(max(KNOBS_WIDTH, panel.minimumSizeHint().width()))
    return column


def three_columns(left: QWidget, middle: QWidget, right: QWidget) -> QSplitter:
    """Three columns, of which the middle one takes the room."""
    splitter = QSplitter(Qt.Orientation.Horizontal)
    splitter.setObjectName("inspectSplitter")
    splitter.setChildrenCollapsible(False)
    for widget, stretch in ((left, 0), (middle, 1), (right, 0)):
        splitter.addWidget(widget)
        splitter.setStretchFactor(splitter.count() - 1, stretch)
    splitter.setSizes([272, 640, KNOBS_WIDTH])
    splitter.setHandleWidth(2 * GRID)
    return splitter
