"""What could be done about a tensor's error: schemes one step away, what each costs in bytes and gains in dB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

from qtquant_app.core.layouts import LAYOUTS, base
from qtquant_app.core.report import ErrorSums, finite
from qtquant_app.core.scheme import Scheme, Strategy

WIDE_GROUP, NARROW_GROUP = 128, 32
"""The groups offered in place of one scale for a channel or a tensor."""
SMALLEST_GROUP = 8
"""Below it the scales take more room than another bit of each code."""
WIDER_LAYOUTS = 2
"""Block types of more bits that are offered in place of one."""
CLIP = "mse"
"""The method that searches for the range with the least squared error."""

Knob = Literal["group", "symmetry", "bits", "method"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """A scheme that differs in `knobs` from another; `changes` are the fields of Scheme that make it."""

    title: str
    scheme: Scheme
    knobs: frozenset[Knob]
    changes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to do about the error of a tensor or a part of it, measured. The first of a list is to leave it as it is."""

    title: str
    scheme: Scheme | Literal["keep"]
    bytes: int
    """What the tensor then takes in the file."""
    bytes_more: int
    """That, less what it takes now."""
    errors: ErrorSums
    """Of the part asked for."""
    gain_db: float
    """SQNR of that part, less what it is now; infinite where nothing is lost any more."""
    whole: ErrorSums
    """Of the whole tensor."""
    reason: str = ""
    """Why a recipe cannot ask for it; empty where it can."""

    @property
    def label(self) -> str:
        """The scheme, as a table shows it."""
        return self.scheme if isinstance(self.scheme, str) else self.scheme.label

    @property
    def db_per_megabyte(self) -> float | None:
        """What a further million bytes buys; None where it takes none, or where the gain is without bounds."""
        return self.gain_db / (self.bytes_more / 1e6) if self.bytes_more > 0 and self.gain_db < inf else None

    def to_json(self) -> dict[str, Any]:
        """A row of `qtquant remedies`."""
        return {
            "title": self.title,
            "scheme": "keep" if isinstance(self.scheme, str) else self.scheme.to_json(),
            "bytes": self.bytes,
            "bytes_more": self.bytes_more,
            "gain_db": finite(self.gain_db),
            "db_per_megabyte": self.db_per_megabyte,
            **self.errors.to_json(),
            "tensor": self.whole.to_json(),
            "reason": self.reason,
        }


def alternatives(
    scheme: Scheme, columns: int, bits: Iterable[int], clips: Iterable[Strategy]
) -> tuple[Alternative, ...]:
    """What is one step away from `scheme` for a matrix of `columns`: smaller groups, the other symmetry, a wider code, clipping.

    For a block layout it is the next wider ones. `bits` are the widths that the format stores, `clips` the strategies that a
    clip search works with. The quick ones come first.
    """
    if scheme.layout is not None:
        return _wider_layouts(scheme, columns)
    found = []
    if scheme.type == "float":
        if scheme.group_size == 32:
            found.append(_changed(scheme, "group", "groups of 16 (NVFP4)", group_size=16))
        if scheme.bits == 4:
            eight = _changed(scheme, "bits", "FP8", bits=8, strategy="channel", group_size=None)
            found.append(replace(eight, knobs=frozenset({"bits", "group"})))
    elif scheme.activations == "none":  # int8 activations leave a scheme no choice but of its method
        found += [
            _changed(scheme, "group", f"groups of {size}", strategy="group", group_size=size)
            for size in smaller_groups(scheme, columns)
        ]
        if scheme.offset == "integer":
            word = "asymmetric" if scheme.symmetric else "symmetric"
            found.append(_changed(scheme, "symmetry", word, symmetric=not scheme.symmetric))
        wider = [width for width in sorted(bits) if width > scheme.bits]
        found += [_changed(scheme, "bits", f"{width} bits", bits=width) for width in wider[:1]]
    if scheme.method != CLIP and scheme.strategy in clips:
        found.append(_changed(scheme, "method", "MSE clip", method=CLIP))
    return tuple(found)


def _wider_layouts(scheme: Scheme, columns: int) -> tuple[Alternative, ...]:
    """The next block types that take more bits and whose blocks fill a row."""
    least = base(scheme.layout or "").bits_per_weight
    wider = [one for one in LAYOUTS.values() if one.bits_per_weight > least and columns % one.block == 0]
    wider.sort(key=lambda one: (one.bits_per_weight, one.block))
    knobs = frozenset[Knob]({"bits", "group", "symmetry"})
    schemes = [Scheme.of_layout(one.name) for one in wider[:WIDER_LAYOUTS]]
    return tuple(Alternative(s.label, s, knobs, tuple(s.to_json().items())) for s in schemes)


def smaller_groups(scheme: Scheme, columns: int) -> tuple[int, ...]:
    """A half and a quarter of the group there is; 128 and 32 columns where there is none, or what of them divides a row."""
    size = scheme.group_size
    if size is None:
        wanted = [_dividing(WIDE_GROUP, columns), min(NARROW_GROUP, _dividing(WIDE_GROUP, columns))]
    else:
        wanted = [size // parts for parts in (2, 4) if size % parts == 0]
    return tuple(dict.fromkeys(size for size in wanted if SMALLEST_GROUP <= size < columns))


def together(scheme: Scheme, one: Alternative, other: Alternative) -> Alternative:
    """Both changes to `scheme` at once. Raises ValueError where they turn the same knob."""
    if one.knobs & other.knobs:
        raise ValueError(f"{one.title} and {other.title} turn the same knob")
    changes = one.changes + other.changes
    return Alternative(
        f"{one.title}, {other.title}", replace(scheme, **dict(changes)), one.knobs | other.knobs, changes
    )


def combinations(scheme: Scheme, *rankings: Sequence[Alternative]) -> tuple[Alternative, ...]:
    """Of each ranking the best two that can be done at once, as one."""
    pairs = [pair for pair in map(_best_pair, rankings) if pair is not None]
    unlike = {frozenset(pair): pair for pair in pairs}
    return tuple(together(scheme, *pair) for pair in unlike.values())


def _best_pair(ranked: Sequence[Alternative]) -> tuple[Alternative, Alternative] | None:
    if not ranked:
        return None
    other = next((one for one in ranked[1:] if not one.knobs & ranked[0].knobs), None)
    return (ranked[0], other) if other is not None else None


def gain(errors: ErrorSums, before: ErrorSums) -> float:
    """dB by which `errors` are better; 0 where neither loses anything."""
    return 0.0 if errors.sqnr_db == before.sqnr_db else errors.sqnr_db - before.sqnr_db


def _changed(scheme: Scheme, knob: Knob, title: str, **changes: Any) -> Alternative:
    return Alternative(title, replace(scheme, **changes), frozenset({knob}), tuple(changes.items()))


def _dividing(size: int, columns: int) -> int:
    """`size`, or the largest half, quarter ... of it that divides `columns`; `size` itself where none does."""
    found = size
    while columns % found and found > SMALLEST_GROUP:
        found //= 2
    return size if columns % found else found
