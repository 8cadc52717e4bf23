"""The tensors of a run, filled in as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from PySide6.QtCore import QObject, Qt

from qtquant_app.core.events import Event, TensorDone, Verified
from qtquant_app.core.plan import Plan, TensorPlan
from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, share_text
from qtquant_app.core.report import TensorReport
from qtquant_app.gui.models.rows import Column, RowsModel

VERIFIED = "\u2713 verified"


@dataclass(slots=True)
class Outcome:
    """What is known of a tensor that has been quantized."""

    report: TensorReport
    verified: bool


class RunTensors(RowsModel):
    """One row a tensor that the plan quantizes; each batch of events costs one `dataChanged`.

    Rows are the plan's own tensors: a plan of sixty thousand is shown without making as many rows.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(_columns(self._sqnr, self._relative, self._bytes, self._verified), parent)
        self._row_of: dict[str, int] = {}
        self._outcomes: dict[str, Outcome] = {}

    def set_plan(self, plan: Plan) -> None:
        """Starts over with the tensors of `plan`, none of them finished."""
        self._row_of, self._outcomes = {}, {}
        self.set_rows(plan.quantized)

    def add(self, events: Iterable[Event]) -> None:
        """Takes in what `events` say of tensors."""
        if not self._row_of:
            self._row_of = {tensor.name: row for row, tensor in enumerate(self._rows)}
        touched: list[int] = []
        for event in events:
            if isinstance(event, (TensorDone, Verified)) and event.report.name in self._row_of:
                self._learn(event.report, isinstance(event, Verified))
                touched.append(self._row_of[event.report.name])
        self._announce(touched)

    @property
    def finished(self) -> int:
        """How many rows have their error."""
        return len(self._outcomes)

    def _learn(self, report: TensorReport, verified: bool) -> None:
        before = self._outcomes.get(report.name)
        self._outcomes[report.name] = Outcome(report, verified or (before is not None and before.verified))

    def _sqnr(self, tensor: TensorPlan) -> float | None:
        found = self._outcomes.get(tensor.name)
        return found.report.errors.sqnr_db if found else None

    def _relative(self, tensor: TensorPlan) -> float | None:
        found = self._outcomes.get(tensor.name)
        return found.report.errors.relative_error if found else None

    def _bytes(self, tensor: TensorPlan) -> int:
        found = self._outcomes.get(tensor.name)
        return found.report.bytes if found else tensor.bytes

    def _verified(self, tensor: TensorPlan) -> bool:
        found = self._outcomes.get(tensor.name)
        return found is not None and found.verified

    def _announce(self, rows: list[int]) -> None:
        if not rows:
            return
        first, last = 0, len(self._rows) - 1
        if self._sorted_by[0] < 0:
            first, last = min(rows), max(rows)
        there = self.index(last, len(self.columns) - 1)
        self.dataChanged.emit(self.index(first, 0), there, [Qt.ItemDataRole.DisplayRole])


def _columns(
    sqnr: Callable[[TensorPlan], float | None],
    relative: Callable[[TensorPlan], float | None],
    size: Callable[[TensorPlan], int],
    verified: Callable[[TensorPlan], bool],
) -> tuple[Column, ...]:
    """Over TensorPlan; the arguments say what has become of a tensor."""

    def last(value: float | None) -> float:
        return -inf if value is None else value

    def said(value: float | None, text: Callable[[float], str]) -> str:
        return NOTHING if value is None else text(value)

    def percents(value: float) -> str:
        return share_text(value, 1, 2)

    return (
        Column("Tensor", lambda t: t.name, lambda t: t.name, "model.layers.88.self_attn.q_proj.weight"),
        Column("Scheme", _scheme, _scheme, "W4 g128 asym mse"),
        Column("Before", lambda t: bytes_text(t.source_bytes), lambda t: t.source_bytes, "88.8 MB", True, unit="bytes"),
        Column("After", lambda t: bytes_text(size(t)), size, "88.8 MB", True, unit="bytes"),
        Column(
            "SQNR",
            lambda t: said(sqnr(t), decibels),
            lambda t: last(sqnr(t)),
            "88.88 dB",
            True,
            value=sqnr,
            unit="dB",
        ),
        Column(
            "Relative error",
            lambda t: said(relative(t), percents),
            lambda t: last(relative(t)),
            "88.88 %",
            True,
            value=relative,
        ),
        Column("Verified", lambda t: VERIFIED if verified(t) else NOTHING, verified, VERIFIED, value=verified),
    )


def _scheme(tensor: TensorPlan) -> str:
    return tensor.scheme.label if tensor.scheme else NOTHING
