"""What `benchmarks.methods` found: kept cell by cell in a JSON file, and drawn as a table in Markdown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MARK = "methods-measured"


@dataclass(frozen=True, slots=True)
class Cell:
    """One method at one width. Seconds and bytes are of its whole process; `load` is the machine's load average meanwhile.

    Where it failed, `error` has the end of what it said and the numbers are 0.
    """

    name: str
    bits: int
    bits_per_weight: float
    stored_bits: float | None = None
    perplexity: float = 0.0
    base_perplexity: float = 0.0
    kl: float = 0.0
    kl_p99: float = 0.0
    top1: float = 0.0
    tokens: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    peak_bytes: int = 0
    load: float = 0.0
    error: str = ""

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.bits


def read_cells(file: Path) -> dict[tuple[str, int], Cell]:
    """The cells in `file` by name and bits; none where there is no such file."""
    if not file.exists():
        return {}
    cells = [Cell(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    return {cell.key: cell for cell in cells}


def add_cell(file: Path, cell: Cell) -> None:
    """Puts `cell` into `file` at once, in the place of an older one of the same name and bits."""
    cells = {**read_cells(file), cell.key: cell}
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_text("[\n" + ",\n".join(json.dumps(asdict(c)) for c in cells.values()) + "\n]\n", encoding="utf-8")
    partial.replace(file)


def is_done(cells: Mapping[tuple[str, int], Cell], name: str, bits: int) -> bool:
    """Whether there is a result; one that failed is tried anew."""
    found = cells.get((name, bits))
    return found is not None and not found.error


def table(cells: Iterable[Cell], names: Sequence[str]) -> str:
    """A table in Markdown: the widths from many bits to few, within each the lowest KL first.

    The lowest KL of ours and the lowest of the peers' are bold in each width. Cells that failed or are not of `names` are left out.
    """
    good = [cell for cell in cells if not cell.error and cell.name in names]
    head = "| bits | method | KL | perplexity | top-1 | bits per weight | CPU s | peak memory |"
    return "\n".join([head, "|---:|---|---:|---:|---:|---:|---:|---:|", *_lines(good)])


def _lines(cells: Sequence[Cell]) -> Iterator[str]:
    for bits in sorted({cell.bits for cell in cells}, reverse=True):
        rows = sorted((cell for cell in cells if cell.bits == bits), key=lambda cell: cell.kl)
        best = {_is_ours(cell): cell for cell in reversed(rows)}
        yield from (_line(cell, best[_is_ours(cell)] is cell) for cell in rows)


def _is_ours(cell: Cell) -> bool:
    return cell.name.startswith("QtQuant")


def _line(cell: Cell, best: bool) -> str:
    kl = f"**{cell.kl:.3f}**" if best else f"{cell.kl:.3f}"
    return (
        f"| {cell.bits} | {cell.name} | {kl} | {cell.perplexity:.1f} | {100 * cell.top1:.1f}% | {cell.bits_per_weight:.2f} "
        f"| {cell.cpu:.0f} | {cell.peak_bytes / 1e9:.2f} GB |"
    )


def with_table(text: str, drawn: str) -> str:
    """`text` with `drawn` between its markers. Raises ValueError where it has none."""
    marked = re.compile(rf"(<!-- {MARK} -->\n).*?(<!-- /{MARK} -->)", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"there are no markers <!-- {MARK} --> and <!-- /{MARK} --> to write between")
    return marked.sub(lambda match: f"{match[1]}{drawn}\n{match[2]}", text)


def cell_of(name: str, bits: int, bits_per_weight: float, judged: Mapping[str, Any], **measured: Any) -> Cell:
    """A cell of what the judge said and what the process took."""
    return Cell(name, bits, bits_per_weight, **judged, **measured)
