"""Rates, times, counts and shares as people read them, beside the quantities of a preview."""

from __future__ import annotations

from math import isfinite

from qtquant_app.gui.quantities import NOTHING, bytes_text

_COUNTS = ("", " K", " M", " B", " T")


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
