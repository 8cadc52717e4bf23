"""Writes the format, runtime, method and preset tables of README.md from the registries.

usage: python tools/tables.py        (rewrites README.md between its table markers)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qtquant_app.core.escaping import markdown
from qtquant_app.core.runtime_table import COLUMNS, Cell, merged, notes
from qtquant_app.engine.presets import presets, reader_titles
from qtquant_app.engine.runtime_table import runtime_table as known_runtimes
from qtquant_app.formats import registry as formats
from qtquant_app.quant.methods import registry as methods

README = Path(__file__).parents[1] / "README.md"


def format_table() -> str:
    """The formats, as Markdown."""
    rows = ["| format | bits | loaded by | what it is |", "|---|---|---|---|"]
    for entry in formats().values():
        bits = ", ".join(map(str, entry.bits))
        rows.append(f"| `{entry.name}` | {bits} | {'; '.join(entry.readers)} | {entry.description} |")
    return "\n".join(rows)


def runtime_table() -> str:
    """Which runtime loads what, as Markdown; why one does not stands below, once."""
    rows = merged(known_runtimes())
    below = notes(rows)
    lines = [f"| format | schemes | {' | '.join(column.title for column in COLUMNS)} |"]
    lines.append("|---|---|" + "---|" * len(COLUMNS))
    for row in rows:
        cells = " | ".join(_words(cell, below) for cell in row.cells)
        lines.append(f"| `{row.format}` | {row.label} | {cells} |")
    return "\n".join([*lines, "", *(f"{at}. {markdown(text)}" for at, text in enumerate(below, 1))])


def _words(cell: Cell, below: Sequence[str]) -> str:
    note = f" ({below.index(cell.text) + 1})" if cell.text else ""
    return (f"**{cell.words}**" if cell.state == "run" else cell.words or "\N{EN DASH}") + note


def method_table() -> str:
    """The methods, as Markdown."""
    rows = ["| method | calibration | what it does |", "|---|---|---|"]
    for method in methods().values():
        needs = "needed" if method.needs_calibration else "none"
        rows.append(f"| `{method.name}` | {needs} | {method.description} |")
    return "\n".join(rows)


def preset_table() -> str:
    """The presets of the program, as Markdown."""
    rows = ["| preset | for whom | bits per weight | loaded by |", "|---|---|---|---|"]
    for entry in presets():
        if entry.preset is not None and not entry.preset.own:
            bits, readers = entry.preset.bits_per_weight, "; ".join(reader_titles(entry.preset))
            rows.append(f"| `{entry.name}` | {entry.preset.audience} | {bits:g} | {readers} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """`text` with what stands between its markers made anew."""
    tables = {
        "formats": format_table(),
        "runtimes": runtime_table(),
        "methods": method_table(),
        "presets": preset_table(),
    }
    for name, table in tables.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marked.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main() -> None:
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
