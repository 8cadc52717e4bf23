"""Sizes as people write them."""

from __future__ import annotations

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_text import shown

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}


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
    raise UsageError(f"{shown(text)} is not a size", hint="write it like 600MB, 4.2GB or 2GiB", code="size")
