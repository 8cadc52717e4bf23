"""Calls that block, made in threads of their own: whoever drives the generator can stop at any moment, whatever the Hub does.

A thread that is left behind is a daemon's: it ends with its call, or with the process.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from time import monotonic, sleep
from typing import TypeVar

from qtquant_app.core.errors import PublishError
from qtquant_app.core.events import ChunkDone, Event, Waiting
from qtquant_app.core.quantities import duration_text
from qtquant_app.engine.publish.refusals import passing, retry_after

T = TypeVar("T")

THREADS = "qtquant-upload"
"""How the names of these threads begin."""
LOOK_SECONDS = 0.1
"""Between two looks whether there is an answer: a cancelled job waits no longer."""
QUIET_SECONDS = 3.0
"""Without an answer, after which this is said."""
GIVE_UP_SECONDS = 600.0
"""Without an answer or a byte, after which a call is taken for lost."""
_PAUSED_SECONDS = 2.0
TRIES = 6
FIRST_WAIT = 1.0
LONGEST_WAIT = 300.0


def start(work: Callable[[], object], name: str) -> None:
    """Runs `work` in a thread of its own. It must not raise."""
    threading.Thread(target=work, name=f"{THREADS}-{name}", daemon=True).start()


def waited(call: Callable[[], T], doing: str) -> Generator[Event, None, T]:
    """What `call` returns, or raises. `doing` says in a few words what is waited for."""
    answers: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:
            answers.put((None, error))

    start(work, "call")
    silence = Silence(doing)
    while True:
        try:
            value, error = answers.get(timeout=LOOK_SECONDS)
            break
        except queue.Empty:
            yield silence.event()
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def retried(call: Callable[[], T], doing: str) -> Generator[Event, None, T]:
    """As `waited`, again after what passes by itself: a busy Hub, which says how long to wait, or a connection that was lost.

    `call` must do no harm when it is made twice.
    """
    for attempt in range(TRIES - 1):
        try:
            return (yield from waited(call, doing))
        except Exception as error:
            if not passing(error):
                raise
            pause = pause_before(attempt, error)
        yield from pauses(pause, doing)
    return (yield from waited(call, doing))


def pause_before(attempt: int, error: Exception) -> float:
    """Seconds to wait after `error`: as the Hub says, else twice as long as before."""
    asked = retry_after(error)
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt if asked is None else asked)


def pauses(seconds: float, doing: str) -> Generator[Event, None, None]:
    """Lets `seconds` pass, and says so at each look."""
    end = monotonic() + seconds
    text = f"the Hub was busy while {doing}: it is asked again after {duration_text(seconds)}"
    while (left := end - monotonic()) > 0:
        yield Waiting("hub-busy", text)
        sleep(min(LOOK_SECONDS, left))


class Silence:
    """How long nothing has come."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._since = self._looked = monotonic()

    def end(self) -> None:
        """Something has come."""
        self._since = monotonic()

    def event(self) -> Event:
        """What to tell at a look that found nothing. Raises PublishError where it has been too long."""
        now = monotonic()
        if now - self._looked > _PAUSED_SECONDS:  # nobody looked: that was a pause, and no silence of the Hub's
            self._since += now - self._looked
        self._looked, quiet = now, now - self._since
        if quiet > GIVE_UP_SECONDS:
            text = f"the Hub has not answered for {duration_text(quiet)} while {self._doing}"
            hint = "give the same command again: what has arrived is not sent again"
            raise PublishError(text, hint=hint, code="hub-stalled")
        if quiet > QUIET_SECONDS:
            return Waiting("hub-quiet", f"no answer from the Hub while {self._doing}")
        return ChunkDone(self._doing, 0)
