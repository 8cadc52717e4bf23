"""What is odd about tensors, for whoever marks them."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.scan import Flag

GLYPH = "\u25b2"
"""Marks an odd tensor: a shape, so that it shows to any eye."""


def flag_words(flags: Iterable[Flag]) -> str:
    """`dead channels, extreme outliers`."""
    return ", ".join(flag.value for flag in flags)
