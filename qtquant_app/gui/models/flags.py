"""What is odd about tensors, for whoever marks them."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.scan import Flag, ScanReport

GLYPH = "\u25b2"
"""Marks an odd tensor: a shape, so that it shows to any eye."""


def flags_of(report: ScanReport) -> dict[str, tuple[Flag, ...]]:
    """What is odd about each tensor that is, the gravest first; tensors with nothing odd are left out."""
    found = ((scan.name, scan.flags) for scan in report.tensors)
    return {name: flags for name, flags in found if flags}


def flag_words(flags: Iterable[Flag]) -> str:
    """`dead channels, extreme outliers`."""
    return ", ".join(flag.value for flag in flags)
