"""How far a run is, how fast it goes and when it will end, counted from its events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from qtquant_app.core.event_words import fetched_text
from qtquant_app.core.events import (
    Calibrated,
    ChunkDone,
    Event,
    Fetched,
    RunStarted,
    StageChanged,
    TensorDone,
    TensorKept,
    Verified,
)

WINDOW_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run. `rate` is source bytes per second, `seconds_left` the time to the end; None while unknown."""

    stage: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    tensors_done: int = 0
    tensors_total: int = 0
    verified: int = 0
    elapsed: float = 0.0
    text: str = ""
    """What is worked on, where that is told; what is done is then counted in steps, not in bytes."""
    fetched: str = ""
    """How far a source that comes from elsewhere is here, in words, until all of it is."""
    rate: float | None = None
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        """0.0 to 1.0."""
        return min(1.0, self.bytes_done / self.bytes_total) if self.bytes_total else 0.0


class ProgressMeter:
    """Adds up the events of one run. Times are seconds of a monotonic clock; paused time does not count."""

    def __init__(self, now: float) -> None:
        self._stage = self._text = self._fetched = ""
        self._done = self._total = 0
        self._tensors = self._tensors_total = self._verified = 0
        self._started = now
        self._paused_at: float | None = None
        self._samples: deque[tuple[float, int]] = deque([(0.0, 0)])

    def add(self, events: Iterable[Event], now: float) -> Progress:
        """Counts `events`, which arrived by `now`."""
        for event in events:
            if isinstance(event, (Calibrated, RunStarted)):
                self._turn_to(event, now)
            self._count(event)
        return self.at(now)

    def at(self, now: float) -> Progress:
        """The progress at `now`."""
        elapsed = (now if self._paused_at is None else self._paused_at) - self._started
        self._sample(elapsed)
        rate = self._rate()
        left = max(0, self._total - self._done)
        return Progress(
            stage=self._stage,
            bytes_done=self._done,
            bytes_total=self._total,
            tensors_done=self._tensors,
            tensors_total=self._tensors_total,
            verified=self._verified,
            elapsed=elapsed,
            text=self._text,
            fetched=self._fetched,
            rate=rate,
            seconds_left=left / rate if rate and self._total else None,
        )

    def pause(self, now: float) -> None:
        self._paused_at = now

    def resume(self, now: float) -> None:
        if self._paused_at is not None:
            self._started += now - self._paused_at
            self._paused_at = None

    def _turn_to(self, event: Calibrated | RunStarted, now: float) -> None:
        """Steps are counted, or bytes: where the one follows the other, rates begin anew."""
        text = event.text if isinstance(event, Calibrated) else ""
        if bool(text) != bool(self._text):
            self._done = 0
            self._samples = deque([(now - self._started, 0)])
        self._text = text

    def _count(self, event: Event) -> None:
        match event:
            case Calibrated():
                self._done, self._total = event.done, event.total
            case Fetched():
                self._fetched = fetched_text(event)
            case ChunkDone():
                self._done += event.bytes
            case TensorDone() | TensorKept():
                self._tensors += 1
            case Verified():
                self._verified += 1
            case StageChanged():
                self._stage = event.stage
            case RunStarted():
                self._total, self._tensors_total = event.bytes_total, event.tensors
                self._tensors = event.resumed_tensors

    def _sample(self, elapsed: float) -> None:
        self._samples.append((elapsed, self._done))
        while len(self._samples) > 2 and elapsed - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()

    def _rate(self) -> float | None:
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        if last - first < 0.2 or after <= before:
            return None
        return (after - before) / (last - first)
