"""The rest of a file, piece by piece in order, while the next pieces are on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from qtquant_app.core.errors import QtQuantError, SourceError

CONNECTIONS = 4
PIECE = 8 << 20
"""Bytes asked for at once, at most; this many connections hold one each."""
PATIENCE = 600.0
"""Seconds for which a network that is gone is waited for."""
_AWAY_SECONDS = 3.0


class Asked(Protocol):
    """Who is asked for the parts of a file."""

    def submit(self, start: int, stop: int) -> Future[bytes]:
        """Asks for a part; returns at once."""

    def result(self, future: Future[bytes]) -> bytes:
        """What came. Raises SourceError, GivenUp."""

    def has_room(self, stop: int) -> bool:
        """Whether the file may grow to so many bytes now."""

    def wait_for_room(self) -> None:
        """Returns when it may be otherwise."""

    def pause(self, trouble: QtQuantError, seconds: float) -> None:
        """Waits, and says what for."""


@dataclass(slots=True)
class _Coming:
    start: int
    stop: int
    future: Future[bytes]


def pieces(asked: Asked, at: int, size: int) -> Iterator[bytes]:
    """Bytes `at` to `size` in order. Raises SourceError where they cannot be had, GivenUp."""
    left = deque((start, min(start + PIECE, size)) for start in range(at, size, PIECE))
    coming: deque[_Coming] = deque()
    while left or coming:
        while left and len(coming) < CONNECTIONS and asked.has_room(left[0][1]):
            start, stop = left.popleft()
            coming.append(_Coming(start, stop, asked.submit(start, stop)))
        if coming:
            yield _patiently(asked, coming.popleft())
        else:
            asked.wait_for_room()


def _patiently(asked: Asked, piece: _Coming) -> bytes:
    """What comes of it; where the network is gone, asks again until it is back."""
    end = monotonic() + PATIENCE
    while True:
        try:
            return asked.result(piece.future)
        except SourceError as error:
            if error.code != "hub-offline" or monotonic() > end or _switched_off():
                raise
            asked.pause(error, _AWAY_SECONDS)
        piece.future = asked.submit(piece.start, piece.stop)


def _switched_off() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
