"""The queue and the history as rows; those that wait can be dragged into another order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from PySide6.QtCore import QByteArray, QMimeData, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from qtquant_app.core.job import JobRecord, JobState
from qtquant_app.core.job_words import moment, recipe_text, result_text, state_text, time_text
from qtquant_app.gui.models.rows import Column, RowsModel

Index = QModelIndex | QPersistentModelIndex
MIME = "application/x-qtquant-job"

_ORDER = {state: at for at, state in enumerate(JobState)}


class JobTable(RowsModel):
    """One row a job. `moved` asks for another order; the rows follow when the queue has it."""

    moved = Signal(str, int)
    """The id of a waiting job, and its wanted place among those that wait."""

    def __init__(self, elsewhere: Callable[[JobRecord], bool], parent: QObject | None = None) -> None:
        super().__init__(_columns(elsewhere), parent)
        self._all: tuple[JobRecord, ...] = ()
        self._wanted = ""

    def set_jobs(self, records: Iterable[JobRecord]) -> bool:
        """Shows `records`. Rows that stay the same jobs in the same order are only painted anew; True where they do not."""
        self._all = tuple(records)
        return self._show()

    def set_filter(self, words: str) -> None:
        """Shows only jobs that hold every one of `words` in their label, folders, scheme, state or error."""
        self._wanted = words.casefold()
        self._show()

    @property
    def hidden(self) -> int:
        """How many jobs the filter leaves out."""
        return len(self._all) - len(self._rows)

    def row_of(self, id: str) -> int:
        """Where the job shows; -1 where it does not."""
        return next((at for at in range(len(self._rows)) if self.row(at).id == id), -1)

    def place_of(self, id: str) -> int:
        """Its place among the jobs that wait, all of them counted; -1 where it does not wait."""
        return next((at for at, record in enumerate(self._queue) if record.id == id), -1)

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        if not index.isValid():
            return flags | Qt.ItemFlag.ItemIsDropEnabled  # between the rows, never onto one
        waits = self.row(index.row()).state is JobState.WAITING
        return flags | Qt.ItemFlag.ItemIsDragEnabled if waits and self._sorted_by[0] < 0 else flags

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        data = QMimeData()
        rows = sorted({index.row() for index in indexes})
        data.setData(MIME, QByteArray("\n".join(self.row(at).id for at in rows[:1]).encode()))
        return data

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        """Asks for the move and answers no: a view that hears yes would take the dragged row away by itself."""
        id = bytes(data.data(MIME).data()).decode("ascii", "replace")
        before = self.place_of(id)
        if action == Qt.DropAction.MoveAction and before >= 0:
            place = self._place_at(len(self._rows) if row < 0 else row)
            self.moved.emit(id, place - 1 if place > before else place)
        return False

    @property
    def _queue(self) -> list[JobRecord]:
        return [record for record in self._all if record.state is JobState.WAITING]

    def _place_at(self, row: int) -> int:
        """How many jobs wait before the one that shows at `row`, hidden ones included."""
        queue = self._queue
        after = (self.place_of(self.row(at).id) for at in range(row, len(self._rows)))
        return next((place for place in after if place >= 0), len(queue))

    def _show(self) -> bool:
        rows = [record for record in self._all if self._matches(record)]
        if [record.id for record in rows] != [record.id for record in self._rows] or self._sorted_by[0] >= 0:
            self.set_rows(rows)
            return True
        changed = [at for at, (old, new) in enumerate(zip(self._rows, rows, strict=True)) if old != new]
        self._rows = rows
        if changed:
            last = self.index(changed[-1], len(self.columns) - 1)
            self.dataChanged.emit(self.index(changed[0], 0), last, [Qt.ItemDataRole.DisplayRole])
        return False

    def _matches(self, record: JobRecord) -> bool:
        if not self._wanted:
            return True
        text = " ".join(
            (record.label, record.source, record.output, recipe_text(record), state_text(record), result_text(record))
        )
        return all(word in text.casefold() for word in self._wanted.split())


def _columns(elsewhere: Callable[[JobRecord], bool]) -> tuple[Column, ...]:
    """Over JobRecord."""

    def state(record: JobRecord) -> str:
        return state_text(record, elsewhere=elsewhere(record))

    def state_key(record: JobRecord) -> Any:
        return _ORDER[record.state], record.order

    return (
        Column("Job", lambda r: r.label, lambda r: r.label, "some-model-8B", tip=lambda r: r.source),
        Column("State", state, state_key, "\u23f8 interrupted at 88 %"),
        Column("Recipe", recipe_text, recipe_text, "W4 g128 sym, 8 rules"),
        Column("Output", _folder, _folder, "some-model-8B-w4-g128-sym", tip=lambda r: r.output),
        Column("Result", result_text, result_text, "88.8 GB, 4.25 bits"),
        Column("When", lambda r: time_text(moment(r)), moment, "2088-08-08 08:08"),
    )


def _folder(record: JobRecord) -> str:
    return record.output.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or record.output
