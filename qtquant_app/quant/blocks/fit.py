"""The search of `quant.kernels.blocks_fit` in torch: the reference, and what runs on a GPU. Equal to it in every bit.

Sub-blocks stand side by side: weights are float32 [size, n], what belongs to a sub-block [n]. Sums go over a sub-block's weights
one after the other, and over a block's sub-blocks likewise, as the kernels' do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qtquant_app.quant.blocks.search import BELOW, SYMMETRIC, Search

ROUNDER = 12582912.0
"""1.5 * 2^23: adding it to a float32 and taking it away again rounds to the nearest even integer."""


@dataclass(frozen=True)
class Sums:
    """Of the codes u and the errors e = w - w' of each sub-block, [n] each."""

    codes: Tensor
    squares: Tensor
    errors: Tensor
    products: Tensor
    losses: Tensor


@dataclass(frozen=True)
class Parts:
    """Sub-blocks, and what their search needs to know."""

    values: Tensor
    """float32 [size, n]."""
    shares: Tensor | None
    """The importance of each weight, [size, n]; None where all weigh the same."""
    count: Tensor
    low: Tensor
    extent: Tensor
    search: Search

    def trial(self, inverse: Tensor, step: Tensor, base: Tensor) -> Sums:
        """Rounds every weight to base + u * step, u from (w - base) * inverse."""
        code = clipped((self.values - base) * inverse, self.search.lowest, self.search.top)
        code = (code + ROUNDER) - ROUNDER
        error = self.values - (code * step + base)
        counted = code if self.shares is None else self.shares * code
        counted_error = error if self.shares is None else self.shares * error
        terms = (counted, counted * code, counted_error, counted_error * code, counted_error * error)
        return Sums(*(_added(term) for term in terms))


@dataclass(frozen=True)
class Found:
    """The best so far of each sub-block: its error, whole-number scale and minimum, its block's d and dmin, and sums."""

    loss: Tensor
    scale: Tensor
    minimum: Tensor
    d: Tensor
    dmin: Tensor
    sums: Sums


def clipped(values: Tensor, low: float, high: float) -> Tensor:
    """`values` from `low` to `high`; what is not a number becomes `low`."""
    values = torch.where(values > low, values, low)
    return torch.where(values < high, values, high)


def number(value: float, like: Tensor) -> Tensor:
    """`value` as a tensor beside `like`: torch divides by a plain number, and a plain number by a tensor, through a reciprocal."""
    return torch.full((1,), value, dtype=like.dtype, device=like.device)


def inverse_of(step: Tensor) -> Tensor:
    """1 / step, and 0 for 0."""
    return torch.where(step != 0, 1 / step, 0.0)


def half(value: Tensor) -> Tensor:
    """float32 rounded to the nearest float16 that is finite, and zero only where it is zero; as float32."""
    rounded = value.half().float().abs().clamp(2.0**-24, 65504.0)
    return torch.where(value == 0, 0.0, torch.where(value < 0, -rounded, rounded))


def alone(parts: Parts) -> tuple[Tensor, Tensor]:
    """The step and base that each sub-block would have by itself, [n]: each range corrected by least squares, the best."""
    search = parts.search
    loss = torch.full_like(parts.low, float("inf"))
    wanted, wanted_base = torch.zeros_like(loss), torch.zeros_like(loss)
    for target, shift in zip(search.targets.tolist(), search.shifts.tolist(), strict=True):
        steps = number(target, parts.extent)
        inverse = torch.where(parts.extent != 0, steps / parts.extent, 0.0)
        step = parts.extent / steps
        base = parts.low + shift * step
        rise, lift, reached = _corrected(parts, parts.trial(inverse, step, base), base)
        better = reached < loss
        loss = torch.where(better, reached, loss)
        wanted = torch.where(better, step + rise, wanted)
        wanted_base = torch.where(better, base + lift, wanted_base)
    return wanted, wanted_base


def _corrected(parts: Parts, sums: Sums, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What to add to the step and the base for the least squared error of a trial's codes, and that error."""
    code, square, error, product, count = sums.codes, sums.squares, sums.errors, sums.products, parts.count
    spread = count * square - code * code
    free = spread > 0
    below = 1 / torch.where(free, spread, 1.0)
    rise = (count * product - error * code) * below
    lift = (square * error - code * product) * below
    pinned = torch.full_like(free, parts.search.mode == SYMMETRIC)
    if parts.search.mode == BELOW:
        pinned = (base + lift) > 0
    lift = torch.where(pinned, -base, lift)
    slope = (product - lift * code) / torch.where(square > 0, square, 1.0)
    rise = torch.where(pinned, slope, torch.where(free, rise, 0.0))
    lift = torch.where(pinned | free, lift, 0.0)
    gained = 2 * (rise * product + lift * error)
    spent = rise * rise * square + (2 * rise * lift * code + lift * lift * count)
    return rise, lift, (sums.losses - gained) + spent


def together(parts: Parts, wanted: Tensor, wanted_base: Tensor, lanes: int) -> Found:
    """The best scales of each block of `lanes` sub-blocks, from what these want by themselves."""
    best: Found | None = None
    for factor in parts.search.factors.tolist():
        d, dmin = _begun(wanted, wanted_base, lanes, parts.search, factor)
        found = _settled(parts, wanted, wanted_base, d, dmin)
        best = found if best is None else _better(best, found, lanes)
        for _ in range(1, parts.search.rounds):
            step, base = d * found.scale, -(dmin * found.minimum)
            d, dmin = _improved(parts, found, lanes)
            found = _settled(parts, step, base, d, dmin)
            best = _better(best, found, lanes)
    assert best is not None
    return best


def _begun(wanted: Tensor, wanted_base: Tensor, lanes: int, search: Search, factor: float) -> tuple[Tensor, Tensor]:
    steps, bases = wanted.view(-1, lanes), wanted_base.view(-1, lanes)
    largest, least = torch.zeros_like(steps[:, 0]), torch.zeros_like(steps[:, 0])
    for lane in range(lanes):
        largest = torch.where(steps[:, lane].abs() > largest.abs(), steps[:, lane], largest)
        least = torch.minimum(least, bases[:, lane])
    end = search.floor if search.mode == SYMMETRIC else search.cap
    d, dmin = half(largest * factor / number(end, largest)), half(-least / number(search.cap, least))
    return d.repeat_interleave(lanes), dmin.repeat_interleave(lanes)


def _settled(parts: Parts, step: Tensor, base: Tensor, d: Tensor, dmin: Tensor) -> Found:
    search = parts.search
    found: Found | None = None
    near = clipped(torch.where(d != 0, step / d, 0.0), search.floor, search.cap)
    near = (near + ROUNDER) - ROUNDER
    minimum = _minimum(base, dmin, search.cap)
    for move in (0, *(sign * size for size in range(1, search.reach + 1) for sign in (1, -1))):
        scale = clipped(near + move, search.floor, search.cap)
        tried = _tried(parts, d, dmin, scale, minimum)
        found = tried if found is None else _better(found, tried, 1)
        if search.mode != SYMMETRIC:
            moved = -(dmin * minimum) + tried.sums.errors / parts.count
            found = _better(found, _tried(parts, d, dmin, scale, _minimum(moved, dmin, search.cap)), 1)
    assert found is not None
    return found


def _minimum(base: Tensor, dmin: Tensor, cap: int) -> Tensor:
    least = clipped(torch.where(dmin != 0, -base / dmin, 0.0), 0, cap)
    return (least + ROUNDER) - ROUNDER


def _tried(parts: Parts, d: Tensor, dmin: Tensor, scale: Tensor, minimum: Tensor) -> Found:
    step = d * scale
    sums = parts.trial(inverse_of(step), step, -(dmin * minimum))
    return Found(sums.losses, scale, minimum, d, dmin, sums)


def _improved(parts: Parts, found: Found, lanes: int) -> tuple[Tensor, Tensor]:
    """d and dmin moved to where the squared error of a block's codes is least, then rounded."""
    sc, m = found.scale.double(), found.minimum.double()
    sums = found.sums
    terms = (
        sc * sc * sums.squares.double(),
        sc * m * sums.codes.double(),
        m * m * parts.count.double(),
        sc * sums.products.double(),
        m * sums.errors.double(),
    )
    square, cross, deep, rise, lift = (_added(term.view(-1, lanes).T) for term in terms)
    d, dmin = found.d.view(-1, lanes)[:, 0].double(), found.dmin.view(-1, lanes)[:, 0].double()
    symmetric = parts.search.mode == SYMMETRIC
    under = square * deep - cross * cross
    both = (under > 1e-9 * square * deep) & (not symmetric)
    safe = torch.where(both, under, 1.0)
    alone = torch.where(square > 0, d + rise / torch.where(square > 0, square, 1.0), d)
    new_d = torch.where(both, d + (rise * deep - lift * cross) / safe, alone)
    new_min = torch.where(both, dmin + (rise * cross - lift * square) / safe, dmin)
    old_d, old_min = d.float(), dmin.float()
    d = half(new_d.float()) if symmetric else torch.where(new_d > 0, half(new_d.float()), old_d)
    dmin = old_min if symmetric else torch.where(new_min >= 0, half(new_min.float()), old_min)
    return d.repeat_interleave(lanes), dmin.repeat_interleave(lanes)


def _better(best: Found, other: Found, lanes: int) -> Found:
    """Block by block, the one whose squared error is less; `best` where they are equal."""
    less = other.loss < best.loss
    if lanes > 1:
        losses = (_added(part.loss.double().view(-1, lanes).T) for part in (best, other))
        least, loss = losses
        less = (loss < least).repeat_interleave(lanes)
    names = ("loss", "scale", "minimum", "d", "dmin")
    chosen = {name: torch.where(less, getattr(other, name), getattr(best, name)) for name in names}
    sums = (torch.where(less, getattr(other.sums, name), getattr(best.sums, name)) for name in Sums.__annotations__)
    return replace(best, **chosen, sums=Sums(*sums))


def _added(terms: Tensor) -> Tensor:
    """The sum over the first dimension, one after the other."""
    total = torch.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total
