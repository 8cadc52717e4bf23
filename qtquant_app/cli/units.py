"""Numbers as people read them."""

from __future__ import annotations

from qtquant_app.core.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}


def size(count: float) -> str:
    """Bytes in decimal units: `4.20 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def count(number: float) -> str:
    """A number of things: `135 M`."""
    for unit in ("", " k", " M", " G"):
        if abs(number) < 1000:
            return f"{number:.3g}{unit}" if unit else f"{number:.0f}"
        number /= 1000
    return f"{number:.3g} T"


def seconds(duration: float) -> str:
    """`0.8 s`, `3 min 20 s`, `2 h 5 min`."""
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def parse_size(text: str) -> int:
    """`600MB`, `4.2GB`, `2GiB` or plain bytes. Raises UsageError where it is none of these."""
    plain = text.strip().upper().removesuffix("B")
    for unit, factor in (*_BINARY.items(), *sorted(_UNITS.items(), reverse=True)):
        if plain.endswith(unit):
            try:
                value = float(plain.removesuffix(unit)) * factor
            except ValueError:
                continue
            if 0 < value < 1e18:
                return int(value)
    raise UsageError(f"{text!r} is not a size", hint="write it like 600MB, 4.2GB or 2GiB", code="size")
