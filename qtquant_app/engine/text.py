"""Text for a model to read: from a file, or what Python brings along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_reader import JsonReader

BUILT_IN = "default"
"""The name of the text that needs no file: the language reference that Python carries in `pydoc_data.topics`."""

MOST_BYTES = 64 << 20
"""Of a file that are read."""

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Text:
    """Prose in the model's language. `name` says where it is from."""

    name: str
    content: str

    def halves(self) -> tuple[Text, Text]:
        """One part to choose by and one to judge by, cut between two paragraphs near the middle."""
        middle = len(self.content) // 2
        cut = self.content.find("\n\n", middle)
        if cut < 0 or cut > middle + len(self.content) // 8:
            cut = middle
        return (
            Text(f"the first half of {self.name}", self.content[:cut]),
            Text(f"the second half of {self.name}", self.content[cut:]),
        )

    def slices(self, count: int, characters: int) -> Iterator[str]:
        """At most `count` parts of about `characters`, spread evenly, none overlapping, each begun at a word."""
        count = max(1, min(count, len(self.content) // max(1, characters)))
        for i in range(count):
            start = i * len(self.content) // count
            if start:
                start += next((at for at, c in enumerate(self.content[start : start + 80]) if c.isspace()), 0)
            yield self.content[start : (i + 1) * len(self.content) // count][:characters].lstrip()


def read_text(source: str) -> Text:
    """The text at `source`: a file, of which one ending in .jsonl holds an object with "text" a line; or `BUILT_IN`.

    At most `MOST_BYTES` are read. Raises SourceError where there is no such file, where it is empty, or where it is not text.
    """
    if source == BUILT_IN:
        from pydoc_data.topics import topics

        return Text("Python's language reference", "\n\n".join(topics[key] for key in sorted(topics)))
    file = Path(source).expanduser()
    content = decoded(file)
    if file.suffix == ".jsonl":
        content = "\n\n".join(_texts(file, content))
    if not content.strip():
        raise _unfit(f"{file} holds no text")
    return Text(file.name, content)


def decoded(file: Path, most: int = MOST_BYTES) -> str:
    """What a file holds, at most `most` bytes of it. Raises SourceError where it cannot be read, or is not text in UTF-8."""
    try:
        with file.open("rb") as opened:
            data = b"".join(_pieces(opened, most))
    except OSError as error:
        raise SourceError(
            f"{file} cannot be read: {error.strerror or error}",
            hint="give a text file in the model's language",
            code="text",
        ) from None
    # A file longer than what was read may end within a character.
    content = data.decode("utf-8", "ignore" if len(data) == most else "replace")
    if "\0" in content or content.count("\N{REPLACEMENT CHARACTER}") > len(content) // 100:
        raise _unfit(f"{file} is not text in UTF-8")
    return content


def _pieces(opened: BinaryIO, most: int) -> Iterator[bytes]:
    """At most `most` bytes, a little at a time: to ask for all at once takes memory for all, however short the file."""
    left = most
    while left and (piece := opened.read(min(left, _PIECE))):
        left -= len(piece)
        yield piece


def _texts(file: Path, content: str) -> Iterator[str]:
    lines = content.split("\n")  # a text may hold the other ends of lines that there are
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            reader = JsonReader(line)
            found = _text_in(reader)
            reader.end()
        except ValueError:
            if number == len(lines) and number > 1:
                return  # cut off where the reading ended
            raise _unfit(f"line {number} of {file} is not JSON") from None
        if found is None:
            raise _unfit(f'line {number} of {file} has no "text"')
        yield found


def _text_in(reader: JsonReader) -> str | None:
    """Takes any value; the "text" in it, if it is an object with one. Nothing else is made."""
    found = None
    if reader.kind != b"{":
        reader.skip()
        return None
    for key in reader.members():
        if key == "text" and reader.kind == b'"':
            found = reader.text()
        else:
            reader.skip()
    return found


def _unfit(message: str) -> SourceError:
    return SourceError(message, hint='give plain text, or JSON lines with a "text" each', code="text")
