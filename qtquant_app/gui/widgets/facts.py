"""Names and values in aligned columns."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.text import Elided, Text


class Facts(QWidget):
    """Rows of a muted name and a value that can be selected; `columns` such pairs stand side by side."""

    def __init__(self, names: Iterable[str], *, columns: int = 1, elide: Iterable[str] = ()) -> None:
        super().__init__()
        names, shortened = list(names), set(elide)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4 * GRID)
        grid.setVerticalSpacing(GRID)
        self._values: dict[str, Text] = {}
        rows = -(-len(names) // columns)
        for i, name in enumerate(names):
            column, row = divmod(i, rows)
            value = Elided() if name in shortened else Text()
            value.set_selectable()
            value.setAccessibleName(name)
            value.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            grid.addWidget(Text(name, muted=True), row, 2 * column, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(value, row, 2 * column + 1, Qt.AlignmentFlag.AlignTop)
            grid.setColumnStretch(2 * column + 1, 1)
            self._values[name] = value

    def set(self, name: str, value: str) -> None:
        """Shows `value` at `name`, which must be one of the names given at the start."""
        self._values[name].setText(value)

    def text(self, name: str) -> str:
        value = self._values[name]
        return value.full_text() if isinstance(value, Elided) else value.text()
