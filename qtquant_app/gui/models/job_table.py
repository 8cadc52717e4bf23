"""The tensors of a run, filled in as they finish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from PySide6.QtCore import QObject, Qt

from qtquant_app.core.events import Event, TensorDone, Verified
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, share_text
from qtquant_app.core.report import TensorReport
from qtquant_app.gui.models.rows import Column, RowsModel


@dataclass(slots=True)
class JobRow:
    """One tensor to quantize: `bytes` is what it takes once quantized."""

    name: str
    scheme: str
    source_bytes: int
    bytes: int
    sqnr: float | None = None
    relative: float | None = None
    verified: bool = False


def _or_nothing(value: float | None, text: str) -> str:
    return NOTHING if value is None else text


COLUMNS = (
    Column("Tensor", lambda r: r.name, lambda r: r.name, "model.layers.88.self_attn.q_proj.weight"),
    Column("Scheme", lambda r: r.scheme, lambda r: r.scheme, "W4 g128 asym mse"),
    Column("Before", lambda r: bytes_text(r.source_bytes), lambda r: r.source_bytes, "88.8 MB", True, unit="bytes"),
    Column("After", lambda r: bytes_text(r.bytes), lambda r: r.bytes, "88.8 MB", True, unit="bytes"),
    Column(
        "SQNR",
        lambda r: _or_nothing(r.sqnr, decibels(r.sqnr or 0.0)),
        lambda r: -inf if r.sqnr is None else r.sqnr,
        "88.88 dB",
        True,
        value=lambda r: r.sqnr,
        unit="dB",
    ),
    Column(
        "Relative error",
        lambda r: _or_nothing(r.relative, share_text(r.relative or 0.0, 1, 2)),
        lambda r: -inf if r.relative is None else r.relative,
        "88.88 %",
        True,
        value=lambda r: r.relative,
    ),
    Column(
        "Verified",
        lambda r: "\u2713 verified" if r.verified else NOTHING,
        lambda r: r.verified,
        "\u2713 verified",
        value=lambda r: r.verified,
    ),
)


class JobTable(RowsModel):
    """One row a tensor that the plan quantizes; each batch of events costs one `dataChanged`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(COLUMNS, parent)
        self._row_of: dict[str, int] = {}

    def set_plan(self, plan: Plan) -> None:
        """Starts over with the tensors of `plan`, none of them finished."""
        labels = _labels(plan)
        rows = [JobRow(t.name, labels[id(t.scheme)], t.source_bytes, t.bytes) for t in plan.quantized]
        self._row_of = {row.name: i for i, row in enumerate(rows)}
        self.set_rows(rows)

    def add(self, events: Iterable[Event]) -> None:
        """Takes in what `events` say of tensors."""
        touched: list[int] = []
        for event in events:
            if isinstance(event, (TensorDone, Verified)) and event.report.name in self._row_of:
                at = self._row_of[event.report.name]
                _fill(self._rows[at], event.report, isinstance(event, Verified))
                touched.append(at)
        self._announce(touched)

    @property
    def finished(self) -> int:
        """How many rows have their error."""
        return sum(row.sqnr is not None for row in self._rows)

    def _announce(self, rows: list[int]) -> None:
        if not rows:
            return
        first, last = 0, len(self._rows) - 1
        if self._sorted_by[0] < 0:
            first, last = min(rows), max(rows)
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1), [Qt.ItemDataRole.DisplayRole])


def _labels(plan: Plan) -> dict[int, str]:
    """The label of each scheme object: a plan of twenty thousand tensors has a handful."""
    schemes = {id(tensor.scheme): tensor.scheme for tensor in plan.tensors if tensor.scheme is not None}
    return {key: scheme.label for key, scheme in schemes.items()}


def _fill(row: JobRow, report: TensorReport, verified: bool) -> None:
    row.bytes = report.bytes
    row.sqnr = report.errors.sqnr_db
    row.relative = report.errors.relative_error
    row.verified = row.verified or verified
