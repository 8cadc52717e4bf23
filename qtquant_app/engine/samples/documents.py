"""Text to calibrate with: one text, or conversations one by one; from a file, a folder, or what Python brings along."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qtquant_app.core.calibration import Refused
from qtquant_app.core.errors import SourceError
from qtquant_app.core.quantities import plural
from qtquant_app.engine.samples.chats import Chat, Document, document
from qtquant_app.engine.text import MOST_BYTES, Text, decoded

_LINES = (".jsonl", ".json", ".ndjson")
MOST_ITEMS = 200_000
"""Lines, and messages in them, that are kept of one source: values take many times their text in memory."""
_HINT = 'give plain text, or JSON lines with a "text" or "messages" each'


@dataclass(frozen=True)
class Documents:
    """Texts and conversations. Where all are texts they count as one, cut into windows; else each is a sample of its own."""

    name: str
    items: Sequence[Document]
    refused: tuple[Refused, ...] = ()
    """What was there and is no text."""

    @property
    def text(self) -> Text | None:
        """All of it; None where there are conversations."""
        if any(not isinstance(item, str) for item in self.items):
            return None
        return Text(self.name, "\n\n".join(str(item) for item in self.items))

    @property
    def sha256(self) -> str:
        found = hashlib.sha256()
        for item in self.items:
            found.update(json.dumps(item).encode() + b"\n")
        return found.hexdigest()

    def half(self, second: bool) -> Documents:
        """One part to calibrate with and one to judge by, cut as `Text.halves` cuts."""
        text = self.text
        if text is not None:
            part = text.halves()[second]
            return replace(self, name=part.name, items=(part.content,))
        middle = max(1, len(self.items) // 2)
        kept = self.items[middle:] if second else self.items[:middle]
        return replace(self, name=f"the {'second' if second else 'first'} half of {self.name}", items=kept)


def read_file(file: Path, most: int = MOST_BYTES) -> list[Document]:
    """What a file holds: its lines' texts and conversations where it is JSON lines, else all of it; at most `most` bytes are read.

    Raises SourceError where it cannot be read, is not text, or a line is no JSON.
    """
    content = decoded(file, most)
    if file.suffix.lower() not in _LINES:
        return [content] if content.strip() else []
    return list(_lines(file, content))


def one_file(file: Path) -> Documents:
    """Raises SourceError where there is nothing to read in it."""
    items = read_file(file)
    return _checked(Documents(file.name, items), str(file))


def many_files(folder: Path, files: Iterable[Path]) -> Documents:
    """All that `files` of `folder` hold, in order, at most as much as is read of one. What is no text is counted, and left out."""
    items: list[Document] = []
    left, taken, unfit, empty = MOST_BYTES, 0, 0, 0
    for file in files:
        if left <= 0:
            break
        try:
            found = read_file(file, left)
        except SourceError:
            unfit += 1
            continue
        left -= sum(len(item) if isinstance(item, str) else _size(item) for item in found)
        items += found
        taken, empty = taken + bool(found), empty + (not found)
    refused = [Refused("files that are no text", unfit), Refused("files that are empty", empty)]
    name = f"{plural(taken, 'file')} of {folder.name or folder}"
    return _checked(Documents(name, items, tuple(entry for entry in refused if entry.count)), str(folder))


def built_in() -> Documents:
    """Python's language reference."""
    from qtquant_app.engine.text import BUILT_IN, read_text

    text = read_text(BUILT_IN)
    return Documents(text.name, (text.content,))


def _checked(found: Documents, where: str) -> Documents:
    if not any(not isinstance(item, str) or item.strip() for item in found.items):
        raise unfit(f"{where} holds no text")
    return found


def _lines(file: Path, content: str) -> Iterator[Document]:
    lines, kept = content.split("\n"), 0  # a text may hold the other ends of lines that there are
    for number, line in enumerate(lines, 1):
        if kept >= MOST_ITEMS:
            return
        if not line.strip():
            continue
        try:
            found = document(line)
        except ValueError:
            if number == len(lines) and number > 1:
                return  # cut off where the reading ended
            raise unfit(f"line {number} of {file} is not JSON") from None
        if found is None:
            raise unfit(f'line {number} of {file} has neither "text" nor "messages"')
        kept += 1 if isinstance(found, str) else len(found)
        yield found


def _size(chat: Chat) -> int:
    return sum(len(message["content"]) for message in chat)


def unfit(message: str) -> SourceError:
    """What is raised for data that is no text."""
    return SourceError(message, hint=_HINT, code="text")
