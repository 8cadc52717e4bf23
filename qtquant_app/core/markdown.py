"""Parts of a Markdown document. Cells and texts are escaped here; what is marked up already goes in as lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qtquant_app.core.escaping import markdown, shortened, visible_lines

_PLAIN = re.compile(r"(?!\d+[.)](?:\s|$))[A-Za-z0-9](?:[A-Za-z0-9 ,.;%()+=\u2013\u2212\u00b1\u00d7-]|:(?= ))*")
"""Figures and plain words, which mean nothing in Markdown wherever they stand."""
_NAME = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
LONGEST = 200
"""Characters of a cell: one name of ten thousand would make every row as long."""


def table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), *, names: bool = False
) -> str:
    """A table; the columns in `right` to the right. Every cell is a text, the first of a row a name where `names` is set."""
    marks = ["---:" if at in right else "---" for at in range(len(titles))]
    first = named if names else cell
    lines = [_row(map(cell, titles)), _row(marks)]
    return "\n".join([*lines, *(_row([first(row[0]), *map(cell, row[1:])]) for row in rows)])


def cell(text: str) -> str:
    """A text as it stands in a cell, a heading or a sentence: escaped where that could change anything."""
    short = shortened(text, LONGEST)
    if _PLAIN.fullmatch(short) and "www." not in short.lower():
        return short
    return markdown(short) or "\N{NO-BREAK SPACE}"


def named(text: str) -> str:
    """A name of a tensor or a file: as code where it is an ordinary one, which may hold underscores, else as `cell`."""
    return f"`{text}`" if _NAME.fullmatch(text) and len(text) <= LONGEST else cell(text)


def fenced(code: str, language: str = "") -> str:
    """`code` between fences longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{visible_lines(code.strip(chr(10)))}\n{fence}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
