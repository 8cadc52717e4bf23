"""The columns of the remedies, and the parts of a tensor that they can be measured over."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, gain_text, more_text, stretch_text
from qtquant_app.core.remedy import Remedy
from qtquant_app.core.report import finite
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.gui.models.rows import Column

TENSOR, CHANNEL, PART = "tensor", "channel", "part"
WHOLE = "Whole tensor"


@dataclass(frozen=True, slots=True)
class Numbered:
    """A remedy, and the number of its point in the plot."""

    number: int
    remedy: Remedy

    @property
    def title(self) -> str:
        """What the table calls it."""
        title = self.remedy.title
        return f"{self.number} {'Now' if self.number == 0 else title[:1].upper() + title[1:]}"


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of a tensor that remedies can be measured over; no place is all of it."""

    kind: str
    label: str
    place: Place | None


def scopes(scheme: Scheme, shape: tuple[int, int], place: Place | None) -> tuple[Scope, ...]:
    """The whole tensor, and where a place is pinned its channels and the groups that it touches."""
    found = [Scope(TENSOR, WHOLE, None)]
    if place is None:
        return tuple(found)
    rows, columns = place.rows, _whole_groups(scheme, place.columns, shape[1])
    channels = stretch_text("Channel", *rows)
    if rows != (0, shape[0]):
        found.append(Scope(CHANNEL, channels, Place(rows, (0, shape[1]))))
    if columns != (0, shape[1]):
        across = stretch_text("column", *columns)
        label = across.capitalize() if rows == (0, shape[0]) else f"{channels}, {across}"
        found.append(Scope(PART, label, Place(rows, columns)))
    return tuple(found)


def _whole_groups(scheme: Scheme, columns: tuple[int, int], count: int) -> tuple[int, int]:
    size = scheme.group_size or 1
    return columns[0] // size * size, min(-(-columns[1] // size) * size, count)


def _price(remedy: Remedy) -> float:
    """For sorting: what costs nothing comes first of what helps."""
    price = remedy.db_per_megabyte
    return price if price is not None else inf if 0 < remedy.gain_db < inf else 0.0


def _price_text(remedy: Remedy) -> str:
    price = remedy.db_per_megabyte
    if price is None:
        return "free" if 0 < remedy.gain_db < inf and remedy.bytes_more <= 0 else NOTHING
    return f"{price:.3g}"


def _gain(remedy: Remedy) -> str:
    return "\u221e" if remedy.gain_db == inf else gain_text(remedy.gain_db).removesuffix(" dB")


def _tip(row: Numbered) -> str:
    remedy = row.remedy
    words = f"{remedy.label}: {decibels(remedy.errors.sqnr_db)}, {bytes_text(remedy.bytes)}"
    return f"{words}. Not to be applied: {remedy.reason}" if remedy.reason else words


REMEDY_COLUMNS = (
    Column("Remedy", lambda r: r.title, lambda r: r.number, "8 5 bits, groups of 16", tip=_tip),
    Column(
        "Gain dB",
        lambda r: _gain(r.remedy),
        lambda r: r.remedy.gain_db,
        "+88.88",
        True,
        _tip,
        lambda r: finite(r.remedy.gain_db),
        "dB",
    ),
    Column(
        "More",
        lambda r: more_text(r.remedy.bytes_more),
        lambda r: r.remedy.bytes_more,
        "+88.8 kB",
        True,
        unit="bytes",
    ),
    Column(
        "dB / MB",
        lambda r: _price_text(r.remedy),
        lambda r: _price(r.remedy),
        "888",
        True,
        value=lambda r: r.remedy.db_per_megabyte,
    ),
    Column(
        "SQNR",
        lambda r: decibels(r.remedy.errors.sqnr_db),
        lambda r: r.remedy.errors.sqnr_db,
        "88.88 dB",
        True,
        value=lambda r: finite(r.remedy.errors.sqnr_db),
        unit="dB",
    ),
    Column("Size", lambda r: bytes_text(r.remedy.bytes), lambda r: r.remedy.bytes, "88.8 MB", True, unit="bytes"),
    Column("Scheme", lambda r: r.remedy.label, lambda r: r.remedy.label, "W4 g128 asym mse", tip=_tip),
)
"""Over Numbered."""
