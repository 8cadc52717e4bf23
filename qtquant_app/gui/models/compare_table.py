"""The columns of a comparison: one scheme a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, figure, percent
from qtquant_app.core.report import finite
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.rows import Column

if TYPE_CHECKING:
    from qtquant_app.engine.compare import Compared

COMMON = (
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(),
    Scheme(symmetric=False),
    Scheme(method="mse"),
    Scheme(group_size=32),
    Scheme(bits=3, symmetric=False),
)
"""What people usually choose between."""


@dataclass(frozen=True, slots=True)
class SchemeRow:
    """A scheme, what is pinned to it, and its figures once they are measured."""

    scheme: Scheme
    pins: str
    """`A`, `B`, both or none."""
    found: Compared | None
    why: str = ""
    """Why nothing is found, and will not be."""


def _measure(text: Callable[[Any], str]) -> Callable[[SchemeRow], str]:
    return lambda row: NOTHING if row.found is None else text(row.found)


def _key(key: Callable[[Any], float]) -> Callable[[SchemeRow], float]:
    return lambda row: -inf if row.found is None else key(row.found)


def _value(value: Callable[[Any], float]) -> Callable[[SchemeRow], object]:
    return lambda row: None if row.found is None else finite(value(row.found))


def _number(title: str, text: Callable[[Any], str], key: Callable[[Any], float], sample: str, unit: str = "") -> Column:
    return Column(title, _measure(text), _key(key), sample, True, _tip, _value(key), unit)


def _tip(row: SchemeRow) -> str:
    if row.found is None:
        return row.why or f"{row.scheme.label} is not measured yet"
    if row.found.refusals:
        return f"Another format's bytes: {'; '.join(row.found.refusals)}"
    return row.scheme.label


def _size(found: Compared) -> str:
    return f"{bytes_text(found.bytes)}{' *' if found.refusals else ''}"


COMPARE_COLUMNS = (
    Column("Scheme", lambda r: r.scheme.label, lambda r: r.scheme.label, "W4 g128 asym mse", tip=_tip),
    Column("Pin", lambda r: r.pins, lambda r: r.pins or "~", "A B"),
    _number("Size", _size, lambda f: f.bytes, "88.8 MB *", "bytes"),
    _number("Bpw", lambda f: f"{f.bits_per_weight:.3f}", lambda f: f.bits_per_weight, "8.888"),
    _number("SQNR", lambda f: decibels(f.errors.sqnr_db), lambda f: f.errors.sqnr_db, "88.88 dB", "dB"),
    _number("Relative", lambda f: percent(f.errors.relative_error), lambda f: f.errors.relative_error, "88.88 %"),
    _number("Max |e|", lambda f: figure(f.errors.max_error), lambda f: f.errors.max_error, "0.008888"),
)
"""Over SchemeRow."""
