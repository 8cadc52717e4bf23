"""Which weight files an index names. Of the tensors in it, a million perhaps, nothing is made: the files' headers know them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from qtquant_app.core.errors import SourceError
from qtquant_app.core.foreign_files import read_bounded
from qtquant_app.core.json_reader import SPACE, STRING, JsonReader, text_of
from qtquant_app.core.json_text import shown

MOST_FILES = 10_000
_MOST_BYTES = 50_000_000
_PAIR = SPACE + STRING + SPACE + b":" + SPACE + b"%b" + SPACE + b","
_FILE = re.compile(_PAIR % (b"(" + STRING + b")"))


def pairs_of(at_once: int) -> re.Pattern[bytes]:
    """An expression for members that others follow, at most so many: between two steps other threads run, a window's too."""
    return re.compile(b"(?:" + _PAIR % STRING + b"){1,%d}+" % at_once)


_PAIRS = pairs_of(512)


def named_files(path: Path) -> list[str]:
    """The values of the index's `weight_map`, each once, in the order in which they first appear; none where it has none.

    Raises SourceError naming the index where it cannot be read, is no JSON, names more than `MOST_FILES` files, or names one by
    something that is no text.
    """
    try:
        reader = JsonReader(read_bounded(path, _MOST_BYTES))
        if reader.kind != b"{":
            reader.value()
            raise SourceError(f"{path.name} is not a JSON object", hint="fetch it again", code="json")
        found: list[str] = []
        for key in reader.members():
            if key == "weight_map" and reader.kind == b"{":
                found = _files(reader, path.name)
            else:
                reader.skip()
        reader.end()
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}", code="read") from None
    except ValueError as error:
        raise SourceError(f"{path.name} is not JSON: {error}", hint="fetch it again", code="json") from None
    return found


def _files(reader: JsonReader, index: str) -> list[str]:
    """Takes an object of texts; the distinct ones."""
    seen: dict[bytes, None] = {}
    for token in _tokens(reader, index):
        seen[token] = None
        if len(seen) > MOST_FILES:
            raise SourceError(
                f"{index} names more than {MOST_FILES:,} files", hint="fetch the index again", code="index"
            )
    return list(dict.fromkeys(map(text_of, seen)))


def _tokens(reader: JsonReader, index: str) -> Iterator[bytes]:
    """Takes an object of texts; them as they stand in JSON, each at least once."""
    if not reader.opens(b"{", b"}"):
        return
    while True:
        while found := reader.match(_PAIRS):
            yield from dict.fromkeys(_FILE.findall(found[0]))
        reader.key()
        if reader.kind != b'"':
            raise SourceError(f"{index} names a shard by {shown(reader.value())}, not by a file name", code="index")
        yield reader.token()
        if not reader.more(b"}"):
            return
