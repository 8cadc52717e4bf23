"""How fast bytes come in, lately."""

from __future__ import annotations

from collections import deque
from time import monotonic

_SECONDS = 10.0
"""Over which the rate is taken: long enough to be steady, short enough to follow a line that changes."""


class Rate:
    """Bytes a second over the last seconds."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, int]] = deque([(monotonic(), 0)])

    def take(self, done: int) -> float:
        """Bytes a second, now that `done` are here in all."""
        now = monotonic()
        self._known.append((now, done))
        while len(self._known) > 2 and now - self._known[1][0] > _SECONDS:
            self._known.popleft()
        since, before = self._known[0]
        return max(0.0, (done - before) / (now - since)) if now > since else 0.0
