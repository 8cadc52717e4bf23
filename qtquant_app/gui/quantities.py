"""Numbers as people read them: with a unit, four figures, and a sign for what does not exist."""

from __future__ import annotations

from math import inf, isfinite

NOTHING = "\u2013"
TIMES = "\u00d7"
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def bytes_text(count: int) -> str:
    """`count` bytes in decimal units, as file managers and the Hub count them: `812 B`, `12.3 MB`."""
    if count < 1000:
        return f"{count} B"
    size, step = count / 1000, 0
    while size >= 999.5 and step < len(_UNITS) - 1:
        size, step = size / 1000, step + 1
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{size:.{digits}f} {_UNITS[step]}"


def decibels(value: float) -> str:
    """`24.31 dB`; an infinite ratio means that nothing was lost."""
    if value == inf:
        return "lossless"
    return f"{value:.2f} dB" if isfinite(value) else NOTHING


def percent(value: float) -> str:
    """A ratio as `3.142 %`."""
    return f"{100 * value:.4g} %" if isfinite(value) else NOTHING


def figure(value: float) -> str:
    """A number without a unit, in four figures."""
    return f"{value:.4g}" if isfinite(value) else NOTHING


def shape_text(shape: tuple[int, ...]) -> str:
    """The sides of a tensor, rows first."""
    return f" {TIMES} ".join(str(side) for side in shape) or "scalar"


def stretch_text(word: str, first: int, end: int) -> str:
    """`channel 12`, or `channels 12 to 15`, for the half-open range of indices from `first` to `end`."""
    return f"{word} {first:,}" if end - first == 1 else f"{word}s {first:,} to {end - 1:,}"
