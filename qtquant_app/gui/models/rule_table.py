"""The rules of a recipe in their order, edited in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import QMimeData, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from qtquant_app.core.errors import RuleFault, UsageError
from qtquant_app.core.patterns import compiled
from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, plural
from qtquant_app.core.recipe import Rule
from qtquant_app.core.recipe_diff import scheme_text
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.models.tensor_cells import WARNING

Index = QModelIndex | QPersistentModelIndex
KEEP: Literal["keep"] = "keep"
MIME = "application/x-qtquant-rules"
PATTERN, SCHEME = 0, 1
_SHORT = {"dead-rule": "none", "shadowed-rule": "shadowed", "tied-head": "tied"}


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule and what is known of it: what a plan found for it, what the planner has against it, what it costs."""

    at: int
    rule: Rule
    matches: int | None = None
    bytes: int | None = None
    fault: RuleFault | None = None
    errors: ErrorSums | None = None
    """Of those of its tensors whose error is known: `known` of them."""
    known: int = 0

    @property
    def complete(self) -> bool:
        """Whether the error of every one of its tensors is known."""
        return self.known == self.matches


def _count(row: RuleRow) -> str:
    if row.fault is not None:
        return f"{WARNING} {_SHORT.get(row.fault.code, 'refused')}"
    return NOTHING if row.matches is None else f"{row.matches:,}"


def _error(row: RuleRow) -> str:
    if row.errors is None:
        return NOTHING
    return decibels(row.errors.sqnr_db) + ("" if row.complete else f" of {row.known:,}")


def _error_tip(row: RuleRow) -> str:
    if row.rule.scheme == KEEP:
        return "What is kept has no error"
    if row.errors is None:
        return "Not known yet: a scan on the Inspect page measures it, or a run"
    return f"Signal to noise over {plural(row.known, 'tensor')} of {row.matches or 0:,} whose error is known"


def _tip(row: RuleRow) -> str:
    return row.fault.text if row.fault else row.rule.pattern


RULE_COLUMNS = (
    Column("Pattern", lambda r: r.rule.pattern, lambda r: r.at, "*.mlp.*", tip=_tip),
    Column("Scheme", lambda r: scheme_text(r.rule), lambda r: scheme_text(r.rule), "W4 g128 asym mse"),
    Column(
        "Tensors",
        _count,
        lambda r: r.matches or 0,
        f"{WARNING} shadowed",
        True,
        tip=lambda r: _tip(r) if r.fault else _count(r),
    ),
    Column(
        "Bytes",
        lambda r: NOTHING if r.bytes is None else bytes_text(r.bytes),
        lambda r: r.bytes or 0,
        "88.8 MB",
        True,
        unit="bytes",
    ),
    Column(
        "SQNR",
        _error,
        lambda r: r.errors.sqnr_db if r.errors else 0.0,
        "24.31 dB of 30",
        True,
        tip=_error_tip,
        unit="dB",
    ),
)


def scheme_of(text: str) -> Scheme | Literal["keep"]:
    """What a person wrote for a scheme: its label, or `keep`. Raises UsageError."""
    return KEEP if text.strip().lower() == KEEP else parse_label(text)


class RuleTable(RowsModel):
    """Rows of RuleRow. What a person changes is only asked for: `edited` and `moved` come, and new rows follow from outside."""

    edited = Signal(int, object)
    """Which rule, and the Rule it is to be."""
    moved = Signal(object, int)
    """tuple[int, ...]: which rules are to stand before the rule that is now at that place."""
    refused = Signal(object)
    """UsageError: what was typed is no pattern or no scheme."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(RULE_COLUMNS, parent)

    def show(self, rows: Sequence[RuleRow]) -> None:
        """Shows `rows`. As long as their number stays, what is chosen and an editor that is open stay too."""
        if len(rows) != self.rowCount():
            self.set_rows(rows)
        elif list(rows) != self._rows:
            self._rows = list(rows)
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(RULE_COLUMNS) - 1))

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        found = super().flags(index) | Qt.ItemFlag.ItemIsDragEnabled
        return found | Qt.ItemFlag.ItemIsEditable if index.column() in (PATTERN, SCHEME) else found

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        return super().data(index, Qt.ItemDataRole.DisplayRole if role == Qt.ItemDataRole.EditRole else role)

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.EditRole or not index.isValid():
            return False
        rule: Rule = self.row(index.row()).rule
        try:
            if index.column() == PATTERN:
                compiled(str(value).strip())
                made = Rule(str(value).strip(), rule.scheme)
            else:
                made = Rule(rule.pattern, scheme_of(str(value)))
        except UsageError as error:
            self.refused.emit(error)
            return False
        if made != rule:
            self.edited.emit(index.row(), made)
        return True

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        found = QMimeData()
        rows = sorted({index.row() for index in indexes})
        found.setData(MIME, ",".join(map(str, rows)).encode())
        return found

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        """Asks for the move; never has the view remove the rows itself."""
        if data.hasFormat(MIME):
            target = row if row >= 0 else parent.row() if parent.isValid() else self.rowCount()
            rows = tuple(int(part) for part in bytes(data.data(MIME).data()).decode().split(",") if part)
            self.moved.emit(rows, target)
        return False


def rearranged(count: int, rows: Sequence[int], target: int) -> tuple[int, ...]:
    """The order of `count` things once those in `rows` stand, in their order, before what is now at `target`."""
    chosen = sorted(set(rows))
    before = [at for at in range(target) if at not in chosen]
    after = [at for at in range(target, count) if at not in chosen]
    return (*before, *chosen, *after)
