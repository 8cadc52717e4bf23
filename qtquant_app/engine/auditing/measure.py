"""A weight beside its base: errors, and for every group the factor by which its scale would fit the base best.

With w the base and v what the codes stand for, a group's best factor is <w, v> / <v, v> (least squares). It is near 1 where the
scale is the one that the codes were made with, and 1/2 where it was doubled since.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.report import ErrorSums

Floats = NDArray[np.float32]
Sums = NDArray[np.float64]

_SURE = 2.5
"""A group is off where its square error is so many times what the best factor would leave."""
_NARROW = 0.15
"""Octaves by which a scale may always miss: what rounding does to small groups."""
OCTAVES_WRONG = 0.5
"""Octaves that neither rounding nor a method that spreads errors explains; scales that are quantized themselves miss by less."""
_SPREADS = 8.0
"""So many median deviations of the groups of a weight are usual too."""
_RESCALED = 0.25
"""Rows or columns were rescaled where scaling them back leaves less than this part of the square error."""
_MANY = 0.3
"""The part of rows or columns that are then off by more than _NARROW."""
_DEAD = 0.01
"""A group of zeros is no fault where the base has less than this part of the usual square there."""


@dataclass(slots=True)
class Pieces:
    """The sums over some rows; `add` puts those of the next rows behind."""

    groups: list[Sums] = field(default_factory=list)
    """[rows, groups, 3]: w^2, w v, v^2."""
    errors: list[Sums] = field(default_factory=list)
    """Square error, [rows, groups]."""
    columns: Sums | None = None
    """[3, columns]: w^2, w v, v^2."""
    max_error: float = 0.0
    non_finite: int = 0
    weights: int = 0

    def add(self, other: Pieces) -> None:
        self.groups += other.groups
        self.errors += other.errors
        if other.columns is not None:
            self.columns = other.columns if self.columns is None else self.columns + other.columns
        self.max_error = max(self.max_error, other.max_error)
        self.non_finite += other.non_finite
        self.weights += other.weights


@dataclass(frozen=True, slots=True)
class Off:
    """One group whose scale does not fit: its row, its place in the row, and the stored scale over the one that fits."""

    row: int
    group: int
    factor: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What the sums of a whole weight say."""

    errors: ErrorSums
    non_finite: int
    groups: int
    off: tuple[Off, ...]
    """The worst first."""
    count_off: int
    zeros: tuple[Off, ...]
    """Groups that decode to zeros alone though the base does not."""
    count_zeros: int
    factor: float
    """Median of stored over fitting scales."""
    scaled: bool
    """Whether all of them are off alike, beyond what rounding does."""
    rescaled: str
    """"columns" or "rows" where these were rescaled; empty where not."""
    rescaled_range: tuple[float, float]
    rescaled_error: float | None


def sums_of(weights: Floats, found: Floats, size: int | None, order: NDArray[np.int64] | None) -> Pieces:
    """The sums over rows [rows, columns] of base and other; groups of `size` columns, counted in `order` where given."""
    bad = ~np.isfinite(found)
    count = int(bad.sum())
    if count:
        found, weights = np.where(bad, np.float32(0), found), np.where(bad, np.float32(0), weights)
    if order is not None:
        weights, found = weights[:, order], found[:, order]
    rows, columns = weights.shape
    step = min(size or columns, columns)
    groups = -(-columns // step)
    error = weights - found
    products = np.stack((weights * weights, weights * found, found * found))
    if groups * step != columns:
        width = ((0, 0), (0, 0), (0, groups * step - columns))
        products, error = np.pad(products, width), np.pad(error, width[1:])
    by_group = products.reshape(3, rows, groups, step).sum(axis=3, dtype=np.float64)
    squares = np.square(error.reshape(rows, groups, step)).sum(axis=2, dtype=np.float64)
    return Pieces(
        groups=[np.moveaxis(by_group, 0, 2)],
        errors=[squares],
        columns=products[:, :, :columns].sum(axis=1, dtype=np.float64),
        max_error=float(np.abs(error).max(initial=0.0)),
        non_finite=count,
        weights=rows * columns - count,
    )


def judged(pieces: Pieces, *, quantized: bool, rounded_scales: bool = False) -> Measured:
    """What all the sums say together; `rounded_scales` where scales are quantized themselves, and miss by more."""
    groups, errors = np.concatenate(pieces.groups), np.concatenate(pieces.errors)
    total = groups.sum(axis=(0, 1))
    sums = ErrorSums(pieces.weights, float(errors.sum()), float(total[0]), float(total[2]), pieces.max_error)
    if not quantized or not total[0]:
        return Measured(sums, pieces.non_finite, errors.size, (), 0, (), 0, 1.0, False, "", (1.0, 1.0), None)
    octaves, left = _fit(groups)
    known = np.isfinite(octaves)
    middle = float(np.median(octaves[known])) if known.any() else 0.0
    spread = float(np.median(np.abs(octaves[known] - middle))) if known.any() else 0.0
    zero = (groups[..., 2] == 0) & (groups[..., 0] > _DEAD * total[0] / errors.size)
    rescaled = _rescaled(groups, pieces.columns, float(errors.sum()))
    far = (
        known
        & (np.abs(octaves - middle) > max(OCTAVES_WRONG if rounded_scales else _NARROW, _SPREADS * spread))
        & (errors > _SURE * left)
    )
    far &= groups[..., 0] > _DEAD * total[0] / errors.size
    if rescaled.what:
        far[:] = False
    return Measured(
        errors=sums,
        non_finite=pieces.non_finite,
        groups=errors.size,
        off=_worst(far, octaves, np.abs(octaves - middle)),
        count_off=int(far.sum()),
        zeros=_worst(zero, np.zeros_like(octaves), errors),
        count_zeros=int(zero.sum()),
        factor=2.0**-middle,
        scaled=not rescaled.what and abs(middle) > _NARROW and bool(errors.sum() > _SURE * left.sum()),
        rescaled=rescaled.what,
        rescaled_range=rescaled.range,
        rescaled_error=rescaled.error,
    )


def _fit(sums: Sums) -> tuple[Sums, Sums]:
    """(octaves by which each scale would have to grow, square error that would be left) for sums [..., 3].

    Not a number where no factor above zero fits.
    """
    weights, both, found = sums[..., 0], sums[..., 1], sums[..., 2]
    fits = (both > 0) & (found > 0)
    safe = np.where(fits, found, 1.0)
    octaves = np.log2(np.where(fits, both / safe, np.nan))
    left = np.where(fits, np.maximum(weights - both * both / safe, 0.0), weights)
    return octaves, left


@dataclass(frozen=True, slots=True)
class _Rescaled:
    what: str = ""
    range: tuple[float, float] = (1.0, 1.0)
    error: float | None = None


def _rescaled(groups: Sums, columns: Sums | None, error: float) -> _Rescaled:
    """Whether all columns, or all rows, were given factors of their own: methods fold such factors into the layer before."""
    sides = [("rows", groups.sum(axis=1))]
    if columns is not None:
        sides.insert(0, ("columns", columns.T))
    for what, sums in sides:
        octaves, left = _fit(sums)
        known = octaves[np.isfinite(octaves)]
        if len(known) < 8 or left.sum() > _RESCALED * error:
            continue
        middle = float(np.median(known))
        if (np.abs(known - middle) > _NARROW).mean() > _MANY:
            ends = 2.0 ** -float(known.max()), 2.0 ** -float(known.min())
            return _Rescaled(what, ends, float(np.sqrt(left.sum() / sums[:, 0].sum())))
    return _Rescaled()


def _worst(where: NDArray[np.bool_], octaves: Sums, by: Sums, most: int = 8) -> tuple[Off, ...]:
    places = np.argwhere(where)
    order = np.argsort(-by[where], kind="stable")[:most]
    return tuple(Off(int(row), int(group), float(2.0 ** -octaves[row, group])) for row, group in places[order])
