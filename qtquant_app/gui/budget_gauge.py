"""The ways to say what a budget may take, each with a scale for a slider and a unit for a field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, exp, floor, log, log10

from qtquant_app.core.target import Memory, Target
from qtquant_app.gui.budget_units import NATS
from qtquant_app.gui.models.budget_reach import Reach

SIZE, BITS, MEMORY, LIKE, ERROR = "size", "bits", "memory", "like", "error"
TITLES = {
    SIZE: "File size",
    BITS: "Bits per weight",
    MEMORY: "Fits a card of",
    LIKE: "As good as",
    ERROR: "Predicted error up to",
}
_FINE, _MOST_DECIMALS = 300, 9
"""Values that the slider should be able to tell apart, and the figures behind the point that this may take."""
_UNITS = ((1e9, "GB", 3), (1e6, "MB", 2), (1e3, "kB", 1))


@dataclass(frozen=True, slots=True)
class Gauge:
    """A scale from `low` to `high` for one way of asking. Values are those of the field, in its unit."""

    kind: str
    low: float
    high: float
    decimals: int
    unit: str = ""
    factor: float = 1.0
    """Bytes, or whatever is asked for, in one unit."""
    logarithmic: bool = False

    def value(self, share: float) -> float:
        """The value at `share` of the way, 0 to 1, rounded as the field shows it."""
        if self.logarithmic and self.low > 0:
            found = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            found = self.low + share * (self.high - self.low)
        return min(max(round(found, self.decimals), self.low), self.high)

    def share(self, value: float) -> float:
        """Where `value` lies on the way, 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.high <= self.low:
            return 0.0
        if self.logarithmic and self.low > 0:
            return (log(value) - log(self.low)) / (log(self.high) - log(self.low))
        return (value - self.low) / (self.high - self.low)

    def target(self, value: float, reach: Reach, room: Memory) -> Target:
        """What is asked for. Raises UsageError where there is no such budget."""
        match self.kind:
            case "bits":
                return Target(bits_per_weight=value)
            case "memory":
                return Target(memory=replace(room, bytes=round(value * self.factor)))
            case "error":
                return Target(error=value)
            case "like":
                return Target(like=reach.likes[round(value)][0])
            case _:
                return Target(bytes=round(value * self.factor))

    def bytes(self, value: float, reach: Reach, room: Memory) -> float:
        """About the output bytes that it comes to; `room` is what a card has to hold besides."""
        match self.kind:
            case "bits":
                found = reach.bytes_at(value)
            case "memory":
                found = value * self.factor - reach.besides(room)
            case "error":
                found = reach.bytes_for(value)
            case "like":
                found = reach.bytes_for(reach.likes[round(value)][1])
            case _:
                found = value * self.factor
        return min(max(found, reach.bytes[0]), reach.bytes[1])

    def value_of(self, size: float, reach: Reach, room: Memory) -> float:
        """The value that comes to about `size` output bytes."""
        match self.kind:
            case "bits":
                found = reach.bits_at(size)
            case "memory":
                found = (size + reach.besides(room)) / self.factor
            case "error":
                found = reach.error_at(size)
            case "like":
                found = _nearest(reach, reach.error_at(size))
            case _:
                found = size / self.factor
        return min(max(round(found, self.decimals), self.low), self.high)


def gauge(kind: str, reach: Reach, room: Memory) -> Gauge:
    """The scale of `kind` for what was measured."""
    return _MAKERS[kind](reach, room)


def _size(reach: Reach, room: Memory) -> Gauge:
    return _in_bytes(SIZE, *reach.bytes)


def _memory(reach: Reach, room: Memory) -> Gauge:
    (low, high), besides = reach.bytes, reach.besides(room)
    return _in_bytes(MEMORY, low + besides, high + besides)


def _bits(reach: Reach, room: Memory) -> Gauge:
    low, high = reach.bits
    return Gauge(BITS, _up(low, 3), _up(high, 3), 3, "bits")


def _error(reach: Reach, room: Memory) -> Gauge:
    low, high = reach.errors
    decimals = min(12, max(0, 3 - floor(log10(low)))) if low > 0 else 3
    high = max(_up(high, decimals), _up(low, decimals))
    return Gauge(ERROR, _up(low, decimals), high, decimals, NATS if reach.calibrated else "", logarithmic=True)


def _like(reach: Reach, room: Memory) -> Gauge:
    return Gauge(LIKE, 0, max(0, len(reach.likes) - 1), 0)


_MAKERS: dict[str, Callable[[Reach, Memory], Gauge]] = {
    SIZE: _size,
    BITS: _bits,
    MEMORY: _memory,
    LIKE: _like,
    ERROR: _error,
}


def _in_bytes(kind: str, low: float, high: float) -> Gauge:
    factor, unit, decimals = next((u for u in _UNITS if high >= u[0]), _UNITS[-1])
    while (high - low) / factor * 10**decimals < _FINE and decimals < _MOST_DECIMALS:
        decimals += 1
    return Gauge(kind, _up(low / factor, decimals), _up(high / factor, decimals), decimals, unit, factor)


def _nearest(reach: Reach, error: float) -> float:
    """The place of the scheme whose error is nearest to `error`."""
    away = [abs(log(max(known, 1e-300)) - log(max(error, 1e-300))) for _, known in reach.likes]
    return float(min(range(len(away)), key=away.__getitem__, default=0))


def _up(value: float, decimals: int) -> float:
    """`value` rounded up: what is a little less could not be had."""
    steps = 10.0**decimals
    return round(ceil(value * steps - 1e-9) / steps, decimals)
