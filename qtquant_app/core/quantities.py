"""Numbers as people read them, in the window and on the command line: with a unit, and a sign for what does not exist."""

from __future__ import annotations

from math import inf, isfinite

NOTHING = "\u2013"
TIMES = "\u00d7"
_UNITS = ("kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", " K", " M", " B", " T")


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


def gain_text(value: float) -> str:
    """A difference in dB with its sign: `+1.21 dB`."""
    if value == inf:
        return "all of it"
    return f"{value:+.2f} dB".replace("-", "\u2212") if isfinite(value) else NOTHING


def more_text(count: int) -> str:
    """A difference in bytes with its sign: `+110 kB`, `\u2212812 B`, `0 B`."""
    sign = "+" if count > 0 else "\u2212" if count < 0 else ""
    return sign + bytes_text(abs(count))


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


def parameters_text(count: float) -> str:
    """A number of weights, short: 512, 33.6 M, 1.10 B."""
    step = 0
    while step < len(_COUNTS) - 1 and count >= 999.5:
        count /= 1000
        step += 1
    digits = 0 if step == 0 or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f}{_COUNTS[step]}"


def rate_text(bytes_per_second: float | None) -> str:
    """`812 MB/s`."""
    return NOTHING if bytes_per_second is None else f"{bytes_text(round(bytes_per_second))}/s"


def duration_text(seconds: float | None) -> str:
    """0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if seconds is None or not isfinite(seconds):
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def share_text(part: float, whole: float, digits: int = 1) -> str:
    """`part` of `whole` as a percentage; no share of nothing."""
    return f"{100 * part / whole:.{digits}f} %" if whole else NOTHING


def plural(count: int, one: str, many: str = "") -> str:
    """1 tensor, 2 tensors."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
