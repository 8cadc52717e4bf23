"""Foreign words made harmless for where they are shown: anyone may have named a checkpoint's tensors and files.

Each function gives one line that reads like its argument and means nothing else there: no escape sequence to a terminal, no
element to a browser, no link or heading to a renderer of Markdown. What cannot be seen (control characters, marks that turn
the direction of writing, halves of characters) becomes U+FFFD.
"""

from __future__ import annotations

import html as _html
import json
import re

HIDDEN = "\N{REPLACEMENT CHARACTER}"

_MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>#!|~$&@:/]|(?<=www)\.|^[-+= ]|^\d+\.", re.IGNORECASE)


def visible(text: str) -> str:
    """`text` on one line, each character that cannot be seen replaced."""
    return text if text.isprintable() else "".join(c if c.isprintable() else HIDDEN for c in text)


terminal = visible
"""`text` for one line of a terminal."""


def visible_lines(text: str) -> str:
    """`visible` for each line of a text of our own that has several."""
    return "\n".join(map(visible, text.split("\n")))


def html(text: str) -> str:
    """`text` as the content of an HTML element, or of an attribute in quotes."""
    return _html.escape(visible(text), quote=True)


def markdown(text: str) -> str:
    """`text` within a line or a table's cell of Markdown (CommonMark, and GitHub's), at its start too: what could mean something
    there is escaped, HTML and links that are found by themselves with it. Not for code spans, where nothing is."""
    return _MARKDOWN.sub(_referenced, visible(text))


def _referenced(found: re.Match[str]) -> str:
    """Character references: unlike backslashes they also stop a bare address from becoming a link."""
    return "".join(c if c.isdigit() else f"&#{ord(c)};" for c in found[0])


def json_text(part: str) -> str:
    """A part of a JSON document, each character that cannot be seen as its \\u escape: it reads back as the same names."""
    if part.isprintable():
        return part
    return "".join(
        c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] if ord(c) > 127 else _low(c) for c in part
    )


def _low(character: str) -> str:
    """The encoder escapes what is below a space; the delete character is left to us."""
    return f"\\u{ord(character):04x}"


def shortened(text: str, most: int) -> str:
    """`text` in at most `most` characters, its start and its end."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (most - 1 - head) :]}"


def spreadsheet(text: str) -> str:
    """`text` as a cell of a table that a spreadsheet opens, which it will not take for a formula."""
    text = visible(text)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text
