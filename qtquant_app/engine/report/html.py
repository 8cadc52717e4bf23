"""HTML as text. Every word that comes from a checkpoint goes through here: anyone may have named its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from qtquant_app.core.quantities import NOTHING

VOID = frozenset({"meta", "img", "br", "link", "hr", "input"})
"""Elements that have no end."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """`value` as it reads: markup as it is, anything else escaped, control characters replaced."""
    if isinstance(value, Markup):
        return value
    shown = "".join(c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return Markup(escape(shown, quote=True))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """`<tag name="value">children</tag>`; `class_` is class, an underscore a hyphen; None leaves an attribute out."""
    words = [tag]
    for name, value in attributes.items():
        if value is not None:
            words.append(f'{name.rstrip("_").replace("_", "-")}="{text(value)}"')
    opening = f"<{' '.join(words)}>"
    return Markup(opening if tag in VOID else f"{opening}{joined(children)}</{tag}>")


def joined(parts: Iterable[object]) -> Markup:
    return Markup("".join(text(part) for part in parts))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], numbers: int, **attributes: object) -> Markup:
    """A table whose columns from `numbers` on are aligned to the right; a cell may be (shown, number to sort by)."""
    head = [element("th", title, scope="col", class_=_side(i, numbers)) for i, title in enumerate(titles)]
    body = (element("tr", *(_cell(cell, _side(i, numbers)) for i, cell in enumerate(row))) for row in rows)
    return element(
        "div",
        element("table", element("thead", element("tr", *head)), element("tbody", *body), **attributes),
        class_="scroll",
        tabindex=0,
    )


def _cell(cell: object, side: str | None) -> Markup:
    if isinstance(cell, tuple):
        shown, key = cell
        return element("td", shown, class_=side, data_key=repr(float(key)))
    return element("td", NOTHING if cell is None else cell, class_=side)


def _side(column: int, numbers: int) -> str | None:
    return "n" if column >= numbers else None
