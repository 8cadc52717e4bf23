"""Which tensors the tree shows, and in what order: made in a worker where there are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from operator import itemgetter
from typing import Any

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.patterns import compiled
from qtquant_app.core.report import ErrorSums
from qtquant_app.gui.models.findings import Findings
from qtquant_app.gui.models.tensor_nodes import Outline

GLOB = frozenset("*?[")
ODD = "odd"
"""In place of a kind: the tensors about which a scan found something odd."""


class Column(IntEnum):
    NAME = 0
    FLAGS = 1
    SCHEME = 2
    SQNR = 3
    BYTES = 4
    SHAPE = 5
    KIND = 6
    DTYPE = 7


@dataclass(frozen=True, slots=True)
class Query:
    """What a person asked to see."""

    text: str = ""
    kind: str = ""
    """A Kind, ODD, or empty for all."""
    flat: bool = False
    column: Column = Column.NAME
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The answer to a query: positions in the outline."""

    query: Query
    kept: list[int] | None
    """What the filter leaves, in the order of the names; None for all."""
    order: list[int]
    """The rows of a flat list."""


def arrange(outline: Outline, findings: Findings, query: Query) -> Arrangement:
    """Answers `query`. Raises UsageError where its text is malformed."""
    kept = _kept(outline, findings, query)
    order: list[int] = []
    if query.flat:
        order = list(range(len(outline))) if kept is None else list(kept)
        if query.column != Column.NAME:
            sort(order, lambda at: tensor_value(outline.tensors[at], findings, query.column), query)
        elif query.descending:
            order.reverse()
    return Arrangement(query, kept, order)


def sort(rows: list[Any], value: Callable[[Any], Any], query: Query) -> None:
    """Sorts `rows` by what `value` says of each; where it is None the row stays last either way."""
    pairs = [(value(row), row) for row in rows]
    valued = [pair for pair in pairs if pair[0] is not None]
    valued.sort(key=itemgetter(0), reverse=query.descending)
    rows[:] = [row for _, row in valued] + [row for found, row in pairs if found is None]


def tensor_value(tensor: TensorInfo, findings: Findings, column: Column) -> Any:
    """What a tensor is sorted by in a column; None where it is not known."""
    match column:
        case Column.FLAGS:
            return len(findings.flags.get(tensor.name, ())) or None
        case Column.SCHEME:
            return findings.scheme_of(tensor.name)
        case Column.SQNR:
            return error_value(findings.errors_of(tensor.name))
        case Column.BYTES:
            return tensor.nbytes
        case Column.SHAPE:
            return tensor.parameters
        case Column.KIND:
            return tensor.kind
        case _:
            return tensor.dtype


def error_value(errors: ErrorSums | None) -> float | None:
    return errors.sqnr_db if errors else None


def _kept(outline: Outline, findings: Findings, query: Query) -> list[int] | None:
    positions = _of_kind(outline, findings, query.kind)
    for narrow in _tests(query.text):
        positions = narrow(outline, range(len(outline)) if positions is None else positions)
    return positions


def _of_kind(outline: Outline, findings: Findings, kind: str) -> list[int] | None:
    if not kind:
        return None
    if kind == ODD:
        return [at for at, name in enumerate(outline.names) if name in findings.flags]
    wanted = Kind(kind)
    return [at for at, tensor in enumerate(outline.tensors) if tensor.kind is wanted]


_Narrow = Callable[[Outline, Iterable[int]], list[int]]


def _tests(text: str) -> list[_Narrow]:
    """What a filter line keeps: tensors whose name has all its words, or that its glob or `re:` expression names.

    Raises UsageError where the expression is malformed.
    """
    text = text.strip()
    if text.startswith("re:"):
        search = compiled(text).search
        return [lambda outline, among: [at for at in among if search(outline.names[at])]]
    if GLOB & set(text):
        return [_glob(text)]
    return [_word(word) for word in text.lower().split()]


def _glob(text: str) -> _Narrow:
    match = compiled(text).fullmatch

    def narrow(outline: Outline, among: Iterable[int]) -> list[int]:
        names = outline.names
        return [at for at in among if match(names[at]) or match(names[at].rpartition(".")[0])]

    return narrow


def _word(word: str) -> _Narrow:
    def narrow(outline: Outline, among: Iterable[int]) -> list[int]:
        lowered = outline.lowered
        return [at for at in among if word in lowered[at]]

    return narrow


def check(text: str) -> None:
    """Raises UsageError where a filter line is malformed."""
    _tests(text)
