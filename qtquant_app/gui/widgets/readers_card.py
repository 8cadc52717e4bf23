"""Which runtime loads what the chosen format holds: whether it was run here and in which version, by scheme."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QShowEvent

from qtquant_app.core.runtime_table import COLUMNS, Cell, Row, merged
from qtquant_app.gui.models.rows import Column as TableColumn
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

_MARKS = {"run": "\u2713 ", "source": "", "refused": "\u2715 ", "wrong": "\u2715 ", "none": ""}
_MEANS = (
    "\u201crun\u201d: loaded here and its logits held against ours; \u201cby source\u201d: as the code of that version is written;"
    " \u201cno\u201d: it does not load it. A star: the cell's tip says more."
)
_MOST_ROWS = 12


def _text(cell: Cell) -> str:
    """`✓ run 5.23.0 *`; empty where the runtime does not read the format."""
    return f"{_MARKS[cell.state]}{cell.words}{' *' if cell.text else ''}" if cell.state != "none" else "\u2013"


def _column(at: int) -> TableColumn:
    def text(row: Row) -> str:
        return _text(row.cells[at])

    def tip(row: Row) -> str:
        cell = row.cells[at]
        said = cell.words or "does not read this format"
        return f"{COLUMNS[at].title}, {row.label}: {said}{f': {cell.text}' if cell.text else ''}"

    return TableColumn(COLUMNS[at].title, text, text, "by source 0.33 *", tip=tip)


def _label(row: Row) -> str:
    return row.label


def _columns(shown: list[int]) -> tuple[TableColumn, ...]:
    scheme: Callable[[Row], str] = _label
    return (TableColumn("Scheme", scheme, scheme, "W2, W3, W4 g32 sym"), *map(_column, shown))


class ReadersCard(Card):
    """A table for the format of the recipe; it is read once, in a worker, when it first shows."""

    def __init__(self, session: Session) -> None:
        super().__init__("Who loads this format")
        self.setObjectName("readersCard")
        self._session = session
        self._reader = Latest(self)
        self._known: tuple[Row, ...] | None = None
        self.state = Text(muted=True, wrap=True)
        self.table: Table | None = None
        self.add(self.state)
        session.recipe_changed.connect(self._show)
        self._reader.result.connect(self._take)
        self._reader.failed.connect(session.report_error)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._known is None and not self._reader.busy:
            self.state.setText("Being read…")
            self._reader.submit(self._session.verbs.runtime_table())
        else:
            self._show()

    def rows(self) -> tuple[Row, ...]:
        """What shows, in its order."""
        return merged(row for row in self._known or () if row.format == self._session.recipe.format)

    def _take(self, known: tuple[Row, ...]) -> None:
        self._known = known
        self._show()

    def _show(self) -> None:
        if self._known is None or not self.isVisible():
            return
        rows = self.rows()
        shown = [at for at in range(len(COLUMNS)) if any(row.cells[at].state != "none" for row in rows)]
        self.title.setText(f"Who loads {self._session.recipe.format}")
        self.state.setText(_MEANS if rows else "Float weights: whatever reads safetensors loads them.")
        if self.table is not None:
            self.table.setParent(None)
            self.table.deleteLater()
            self.table = None
        if rows:
            model = RowsModel(_columns(shown), self)
            self.table = Table(model, "readersTable", "Runtimes that load the format, by scheme")
            model.set_rows(rows)
            self.table.fit_rows(min(len(rows), _MOST_ROWS))
            self.add(self.table)
