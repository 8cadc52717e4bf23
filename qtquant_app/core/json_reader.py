"""Goes through JSON from front to back, and makes no more of it than it is asked for.

A parser that makes every value takes ten to twenty times the text in memory, and anyone may have written the text. Here the
reader of a file says what it wants, takes small values one at a time, and passes over the rest without making it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from qtquant_app.core.json_text import MAX_DEPTH, decoded, made

SPACE = rb"[ \t\n\r]*+"
STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
"""A text as it stands in JSON, for regular expressions over bytes: possessive, so that they take no more steps than bytes."""

SMALL = 1 << 14
"""Bytes of a value that is made: in memory it takes twenty times as many at most."""
SLACK = 1 << 20
"""Bytes that an outline may take whatever the document, beside as many as the document has."""
_LONGEST_TEXT = 1 << 17
_LONGEST_NAME = 1 << 14
_VALUE = 128
"""Bytes that a value takes in memory beside its text, and that a member's name does."""
_OTHER_UTF = 200_000
"""Bytes up to which a document in UTF-16 or UTF-32 is read: it is turned into UTF-8 first."""
_LONG = 1_000_000
_BYTES_A_BRACKET = 16
"""Of a long document: each list or object passed over is a step of its own."""

_KEY = re.compile(b"(" + STRING + b")" + SPACE + b":" + SPACE)
_TEXT = re.compile(STRING)
_PLAIN = re.compile(rb"-?[0-9][-+.0-9eE]*+|-?Infinity|NaN|true|false|null")
_NO_BRACKET = rb'[^"\[\]{}]*+(?:' + STRING + rb'[^"\[\]{}]*+)*+'
_TO_BRACKET = re.compile(_NO_BRACKET)
_BLANK = re.compile(SPACE)
_MARK = b"\xef\xbb\xbf"
_STEP = 64
"""Lists and objects within one that are passed over at once, each at most as deep as `_SHALLOW`."""


def _around(inner: bytes) -> bytes:
    """An expression for a list or an object that holds at most so many of `inner`."""
    held = _NO_BRACKET + (b"(?:(?:%b)%b){0,%d}+" % (inner, _NO_BRACKET, _STEP) if inner else b"")
    return rb"\{%b\}|\[%b\]" % (held, held)


_SHALLOW = re.compile(_around(_around(_around(b""))))
_OPENS = {b"]": b"[", b"}": b"{"}


class JsonReader:
    """A place in a document, at first before its only value. Methods that take a value leave the place behind it.

    All raise ValueError, a few words long, where the document is no JSON as far as they look at it: what is passed over is only
    held against its own brackets and quotes.
    """

    def __init__(self, document: bytes | str, *, utf8: bool = False, checked: bool = False) -> None:
        """`utf8` says that it is in that, or no document; `checked` that it was looked at before."""
        self.data = document if utf8 and isinstance(document, bytes) else _utf8(document)
        if not checked and len(self.data) > _LONG and self._brackets() > len(self.data) // _BYTES_A_BRACKET:
            raise ValueError("it holds more lists and objects than text")
        self._left = SLACK + len(self.data)
        self.at = len(_MARK) if self.data.startswith(_MARK) else 0
        self._blank()

    def _brackets(self) -> int:
        return self.data.count(b"[") + self.data.count(b"{")

    @property
    def kind(self) -> bytes:
        """The first byte of the value here: a brace, a bracket, a quote, or that of a number or a word."""
        return self.data[self.at : self.at + 1]

    def members(self) -> Iterator[str]:
        """The keys of the object here, in order. The value of each must be taken before the next is asked for."""
        going_on = self.opens(b"{", b"}")
        while going_on:
            yield self.key()
            going_on = self.more(b"}")

    def items(self) -> Iterator[int]:
        """The numbers of the items of the list here, from 0. Each item must be taken before the next is asked for."""
        going_on, count = self.opens(b"[", b"]"), 0
        while going_on:
            yield count
            going_on, count = self.more(b"]"), count + 1

    def opens(self, start: bytes, end: bytes) -> bool:
        """Takes the first bracket of an object or a list; where nothing is in it the last one too, and then says no."""
        self._take(start, "an object" if start == b"{" else "a list")
        return not self._took(end)

    def key(self) -> str:
        """Takes a member's name and its colon."""
        found = self.match(_KEY)
        if found is None:
            raise self._broken("a name and a colon")
        if found.end(1) - found.start(1) > _LONGEST_NAME:
            raise ValueError(f"a name of {found.end(1) - found.start(1):,} bytes stands in it")
        return text_of(found[1])

    def more(self, end: bytes) -> bool:
        """Takes a comma, and says that there is more; or `end`, and says that there is not."""
        if self._took(b","):
            return True
        self._take(end, f"a comma or {end.decode()}")
        return False

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Takes what `pattern` finds right here, and the space after it; None, and takes nothing, where it finds nothing."""
        found = pattern.match(self.data, self.at)
        if found is not None:
            self.at = found.end()
            self._blank()
        return found

    def text(self) -> str:
        """Takes a text of any length."""
        return text_of(self.token(len(self.data)))

    def token(self, most: int = SMALL) -> bytes:
        """Takes a text of at most so many bytes, as it stands there."""
        found = self.match(_TEXT)
        if found is None:
            raise self._broken("a text")
        if found.end() - found.start() > most:
            raise ValueError(
                f"a text of {found.end() - found.start():,} bytes stands where {most:,} are enough for any"
            )
        return found[0]

    def value(self, most: int = SMALL) -> Any:
        """Takes any value, made as `json.loads` makes it, of at most so many bytes."""
        start = self.at
        self.skip()
        if self.at - start > most:
            raise ValueError(f"a value of {self.at - start:,} bytes stands where {most:,} are enough for any")
        return made(_characters(self.data[start : self.at]))

    def outline(self, depth: int = 4) -> Any:
        """Takes any value: a small one made as `json.loads` makes it, of a larger object the members likewise, a larger list as
        `Items`. What would take more memory than the document and `SLACK` is refused."""
        start = self.at
        self.skip()
        end, self.at = self.at, start
        if end - start <= SMALL or self.kind not in b"[{":
            self._spend(
                end - start + _VALUE * sum(self.data.count(mark, start, end) for mark in (b",", b":", b"[", b"{"))
            )
            return self.value(max(SMALL, _LONGEST_TEXT))
        if self.kind == b"[":
            self.at = end
            return Items(self.data, start)
        if not depth:
            raise ValueError("it is nested too deeply for its size")
        members: dict[str, Any] = {}
        for key in self.members():
            self._spend(len(key) + 2 * _VALUE)
            members[key] = self.outline(depth - 1)
        return members

    def _spend(self, memory: int) -> None:
        self._left -= memory
        if self._left < 0:
            raise ValueError("it holds more values than text")

    def skip(self) -> None:
        """Passes over a value of any length."""
        open_brackets: list[bytes] = []
        while True:
            bracket = self.kind
            shallow = _SHALLOW.match(self.data, self.at) if bracket in (b"[", b"{") else None
            if shallow is not None:
                self.at = shallow.end()
            elif bracket in (b"[", b"{"):
                open_brackets.append(bracket)
                if len(open_brackets) > MAX_DEPTH:
                    raise ValueError("it is nested too deeply")
                self.at += 1
            elif bracket in _OPENS and open_brackets and open_brackets[-1] == _OPENS[bracket]:
                open_brackets.pop()
                self.at += 1
            elif open_brackets or (self.match(_TEXT) is None and self.match(_PLAIN) is None):
                raise self._broken("a value")
            if not open_brackets:
                return self._blank()
            rest = _TO_BRACKET.match(self.data, self.at)
            self.at = self.at if rest is None else rest.end()

    def places(self, wanted: Collection[str]) -> dict[str, int]:
        """Takes an object; where in the document the values of `wanted` keys are. Of a key that is there twice, the later one."""
        found: dict[str, int] = {}
        for key in self.members():
            if key in wanted:
                found[key] = self.at
            self.skip()
        return found

    def end(self) -> None:
        """Raises ValueError where anything follows."""
        if self.at < len(self.data):
            raise self._broken("nothing more")

    def _blank(self) -> None:
        if self.data[self.at : self.at + 1].isspace():
            found = _BLANK.match(self.data, self.at)
            self.at = self.at if found is None else found.end()

    def _took(self, byte: bytes) -> bool:
        if self.kind != byte:
            return False
        self.at += 1
        self._blank()
        return True

    def _take(self, byte: bytes, what: str) -> None:
        if not self._took(byte):
            raise self._broken(what)

    def _broken(self, expected: str) -> ValueError:
        return ValueError(f"at byte {self.at:,} there should be {expected}")


class Items(Sequence[Any]):
    """A list that stays in its document: each item is made anew, by `JsonReader.outline`, whenever it is asked for."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def __iter__(self) -> Iterator[Any]:
        reader = self._reader()
        for _ in reader.items():
            reader._left = SLACK
            yield reader.outline()

    @cached_property
    def _count(self) -> int:
        reader, count = self._reader(), 0
        for _ in reader.items():
            reader.skip()
            count += 1
        return count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        return list(self)[at] if isinstance(at, slice) else next(islice(self, range(len(self))[at], None))

    def __repr__(self) -> str:
        return "[\N{HORIZONTAL ELLIPSIS}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, Items)):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _reader(self) -> JsonReader:
        reader = JsonReader(self._data, utf8=True, checked=True)
        reader.at = self._at
        return reader


def outlined(document: bytes | str) -> Any:
    """The only value of a document, as `JsonReader.outline` makes it. Raises ValueError where it is no JSON."""
    reader = JsonReader(document)
    found = reader.outline()
    reader.end()
    return found


def text_of(token: bytes) -> str:
    """The text that a token of `STRING` stands for. Raises ValueError where it is no text."""
    return str(made(_characters(token))) if b"\\" in token else _characters(token[1:-1])


def _characters(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} of a value is no text in UTF-8") from None


def _utf8(document: bytes | str) -> bytes:
    if isinstance(document, bytes):
        if not document.startswith((b"\xff\xfe", b"\xfe\xff")) and 0 not in document[:4]:
            return document
        if len(document) > _OTHER_UTF:
            raise ValueError("it is in UTF-16 or UTF-32, and long")
        document = decoded(document)
    try:
        return document.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character, a lone surrogate") from None
