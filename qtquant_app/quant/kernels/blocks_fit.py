"""The search for a K-quant's scales: sixteen sub-blocks at once, each in a lane; w' = d sc u - dmin m.

First every sub-block alone: ranges are tried, each corrected by least squares over the codes it gives, and the best is kept.
Then the block: d and dmin from the largest, whole numbers sc and m tried around what each sub-block wants, d and dmin corrected by
least squares over all codes, and again; kept where the squared error falls. Every error is that of the very numbers a reader
computes. Symmetric types have no minimum. The steps are those of `quant.blocks.fit`, bit for bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.blocks.search import BELOW, SYMMETRIC
from qtquant_app.quant.kernels.affine import ROUNDER
from qtquant_app.quant.kernels.blocks_legacy import half_bits
from qtquant_app.quant.kernels.blocks_trial import SUMS, trial
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import LANES
from qtquant_app.quant.kernels.source import half_float

CODES, SQUARES, ERRORS, PRODUCTS, LOSSES = (k * LANES for k in range(SUMS))
"""Where each of a trial's sums begins."""


class Work(NamedTuple):
    """Working memory for sixteen sub-blocks; all float32, one number a lane unless said otherwise."""

    values: NDArray[np.float32]
    """[16 * size]."""
    shares: NDArray[np.float32] | None
    """The importance of each, [16 * size]; None where all weigh the same."""
    total: NDArray[np.float32]
    """Weights of the sub-block, or the sum of their importance."""
    low: NDArray[np.float32]
    """Where the range begins: not above zero; zero where symmetric."""
    extent: NDArray[np.float32]
    """Where symmetric, the weight largest in size; else what the range spans."""
    inverse: NDArray[np.float32]
    step: NDArray[np.float32]
    base: NDArray[np.float32]
    """What is tried: codes from (w - base) * inverse, and w' = u * step + base."""
    sums: NDArray[np.float32]
    """[5 * 16], of the last trial."""
    wanted: NDArray[np.float32]
    wanted_base: NDArray[np.float32]
    """The step and base that a sub-block would have if they were its own."""
    loss: NDArray[np.float32]
    """The least squared error so far."""
    scale: NDArray[np.float32]
    minimum: NDArray[np.float32]
    """sc and m of the least error so far."""
    tried_scale: NDArray[np.float32]
    tried_minimum: NDArray[np.float32]
    kept: NDArray[np.float32]
    """[5 * 16], the sums of the least error so far."""
    d: NDArray[np.float32]
    dmin: NDArray[np.float32]
    """The block's, in each of its lanes."""
    best: NDArray[np.float32]
    """[5 * 16]: loss, scale, minimum, d, dmin of the best round so far."""

    @classmethod
    def of(cls, size: int, weighted: bool) -> Work:
        whole = size * LANES
        wide = {"values": whole, "shares": whole, "sums": SUMS * LANES, "kept": SUMS * LANES, "best": 5 * LANES}
        arrays = {name: np.zeros(wide.get(name, LANES), np.float32) for name in cls._fields}
        work = cls(**arrays)
        return work if weighted else work._replace(shares=None)


@compiled
def half(value: Any) -> Any:
    """A float32 rounded to the nearest float16 that is finite, and zero only where it is zero; as float32."""
    if value == 0:
        return np.float32(0)
    bits = half_bits(value)
    size = max(min(np.uint32(bits & np.uint32(0x7FFF)), np.uint32(0x7BFF)), np.uint32(1))
    return half_float(np.uint32(size | (bits & np.uint32(0x8000))))


@compiled
def _round(value: Any) -> Any:
    return np.float32(np.float32(value + ROUNDER) - ROUNDER)


@compiled
def _clip(value: Any, low: Any, high: Any) -> Any:
    value = value if value > low else low
    return value if value < high else high


@compiled
def alone(work: Any, size: int, lowest: Any, top: Any, mode: int, targets: Any, shifts: Any) -> None:
    """Fills `wanted`, `wanted_base` and `loss`: for each target t, codes of a range t steps wide, corrected by least squares."""
    for lane in range(LANES):
        work.loss[lane] = np.inf
        work.wanted[lane] = 0
        work.wanted_base[lane] = 0
    for index in range(len(targets)):
        target, shift = targets[index], shifts[index]
        for lane in range(LANES):
            extent = work.extent[lane]
            work.inverse[lane] = np.float32(target / extent) if extent != 0 else np.float32(0)
            work.step[lane] = np.float32(extent / target)
            work.base[lane] = np.float32(work.low[lane] + np.float32(shift * work.step[lane]))
        trial(work.values, work.shares, size, work.inverse, work.step, work.base, lowest, top, work.sums)
        _correct(work, mode)


@compiled
def _correct(work: Any, mode: int) -> None:
    """Moves each lane's step and base to where the squared error of the trial's codes is least, and keeps what is best."""
    sums = work.sums
    two = np.float32(2)
    for lane in range(LANES):
        count, code, square = work.total[lane], sums[CODES + lane], sums[SQUARES + lane]
        error, product = sums[ERRORS + lane], sums[PRODUCTS + lane]
        base = work.base[lane]
        spread = np.float32(np.float32(count * square) - np.float32(code * code))
        free = spread > 0
        below = np.float32(1) / (spread if free else np.float32(1))
        rise = np.float32(np.float32(np.float32(count * product) - np.float32(error * code)) * below)
        lift = np.float32(np.float32(np.float32(square * error) - np.float32(code * product)) * below)
        pinned = mode == SYMMETRIC or (mode == BELOW and np.float32(base + lift) > 0)
        lift = -base if pinned else lift
        slope = np.float32(np.float32(product - np.float32(lift * code)) / (square if square > 0 else np.float32(1)))
        rise = slope if pinned else (rise if free else np.float32(0))
        lift = lift if pinned or free else np.float32(0)
        gained = np.float32(two * np.float32(np.float32(rise * product) + np.float32(lift * error)))
        spent = np.float32(np.float32(rise * rise) * square) + np.float32(
            np.float32(np.float32(np.float32(two * rise) * lift) * code) + np.float32(np.float32(lift * lift) * count)
        )
        loss = np.float32(np.float32(sums[LOSSES + lane] - gained) + spent)
        better = loss < work.loss[lane]
        work.loss[lane] = loss if better else work.loss[lane]
        work.wanted[lane] = np.float32(work.step[lane] + rise) if better else work.wanted[lane]
        work.wanted_base[lane] = np.float32(base + lift) if better else work.wanted_base[lane]


@compiled
def settle(work: Any, size: int, lowest: Any, top: Any, symmetric: bool, floor: Any, cap: Any, reach: int) -> None:
    """Finds sc and m of every lane under `d` and `dmin`, near what is wanted: fills `scale`, `minimum`, `loss` and `kept`."""
    for lane in range(LANES):
        work.loss[lane] = np.inf
    for index in range(2 * reach + 1):
        move = np.float32((index + 1) // 2 * (1 if index % 2 else -1))
        for lane in range(LANES):
            d, dmin = work.d[lane], work.dmin[lane]
            near = _clip(np.float32(work.wanted[lane] / d) if d != 0 else np.float32(0), floor, cap)
            work.tried_scale[lane] = _clip(np.float32(_round(near) + move), floor, cap)
            least = np.float32(-work.wanted_base[lane] / dmin) if dmin != 0 else np.float32(0)
            work.tried_minimum[lane] = _round(_clip(least, np.float32(0), cap))
        _try(work, size, lowest, top)
        if symmetric:
            continue
        for lane in range(LANES):
            dmin = work.dmin[lane]
            base = np.float32(work.base[lane] + np.float32(work.sums[ERRORS + lane] / work.total[lane]))
            least = np.float32(-base / dmin) if dmin != 0 else np.float32(0)
            work.tried_minimum[lane] = _round(_clip(least, np.float32(0), cap))
        _try(work, size, lowest, top)


@compiled
def _try(work: Any, size: int, lowest: Any, top: Any) -> None:
    sums, kept = work.sums, work.kept
    for lane in range(LANES):
        step = np.float32(work.d[lane] * work.tried_scale[lane])
        work.step[lane] = step
        work.inverse[lane] = np.float32(np.float32(1) / step) if step != 0 else np.float32(0)
        work.base[lane] = -np.float32(work.dmin[lane] * work.tried_minimum[lane])
    trial(work.values, work.shares, size, work.inverse, work.step, work.base, lowest, top, sums)
    for lane in range(LANES):
        better = sums[LOSSES + lane] < work.loss[lane]
        work.loss[lane] = sums[LOSSES + lane] if better else work.loss[lane]
        work.scale[lane] = work.tried_scale[lane] if better else work.scale[lane]
        work.minimum[lane] = work.tried_minimum[lane] if better else work.minimum[lane]
        for part in range(0, SUMS * LANES, LANES):
            kept[part + lane] = sums[part + lane] if better else kept[part + lane]


@compiled
def together(
    work: Any, size: int, lowest: Any, top: Any, mode: int, floor: Any, cap: Any,
    lanes: int, factors: Any, reach: int, rounds: int,
) -> None:  # fmt: skip
    """Fills `best` for the sixteen lanes, which are 16 // `lanes` blocks: from each factor on d, so many rounds."""
    best, symmetric = work.best, mode == SYMMETRIC
    wanted, wanted_base = work.wanted.copy(), work.wanted_base.copy()
    for lane in range(LANES):
        best[lane] = np.inf
    for index in range(len(factors)):
        work.wanted[:] = wanted
        work.wanted_base[:] = wanted_base
        for first in range(0, LANES, lanes):
            _begin(work, first, lanes, symmetric, floor, cap, factors[index])
        for turn in range(rounds):
            if turn:
                for first in range(0, LANES, lanes):
                    _improve(work, first, lanes, symmetric)
            settle(work, size, lowest, top, symmetric, floor, cap, reach)
            for first in range(0, LANES, lanes):
                _keep(work, first, lanes)
            for lane in range(LANES):
                work.wanted[lane] = np.float32(work.d[lane] * work.scale[lane])
                work.wanted_base[lane] = -np.float32(work.dmin[lane] * work.minimum[lane])


@compiled
def _begin(work: Any, first: int, lanes: int, symmetric: bool, floor: Any, cap: Any, factor: Any) -> None:
    """d and dmin of a block from what its sub-blocks want most."""
    largest, least = np.float32(0), np.float32(0)
    for lane in range(first, first + lanes):
        wanted = work.wanted[lane]
        largest = wanted if abs(wanted) > abs(largest) else largest
        least = min(least, work.wanted_base[lane])
    end = floor if symmetric else cap
    d = half(np.float32(np.float32(largest * factor) / end))
    dmin = half(np.float32(np.float32(-least) / cap))
    for lane in range(first, first + lanes):
        work.d[lane], work.dmin[lane] = d, dmin


@compiled
def _improve(work: Any, first: int, lanes: int, symmetric: bool) -> None:
    """Moves d and dmin of a block to where the squared error of its codes is least, before they are rounded."""
    square, cross, deep, rise, lift = 0.0, 0.0, 0.0, 0.0, 0.0
    for lane in range(first, first + lanes):
        sc, m = np.float64(work.scale[lane]), np.float64(work.minimum[lane])
        square += sc * sc * np.float64(work.kept[SQUARES + lane])
        cross += sc * m * np.float64(work.kept[CODES + lane])
        deep += m * m * np.float64(work.total[lane])
        rise += sc * np.float64(work.kept[PRODUCTS + lane])
        lift += m * np.float64(work.kept[ERRORS + lane])
    d, dmin = np.float64(work.d[first]), np.float64(work.dmin[first])
    under = square * deep - cross * cross
    if not symmetric and under > 1e-9 * square * deep:
        d += (rise * deep - lift * cross) / under
        dmin += (rise * cross - lift * square) / under
    elif square > 0:
        d += rise / square
    new_d, new_min = half(np.float32(d)), half(np.float32(dmin))
    for lane in range(first, first + lanes):
        if symmetric or d > 0:
            work.d[lane] = new_d
        if not symmetric and dmin >= 0:
            work.dmin[lane] = new_min


@compiled
def _keep(work: Any, first: int, lanes: int) -> None:
    """Copies a block's lanes to `best` where their squared error is less than what is there."""
    best, loss, least = work.best, 0.0, 0.0
    for lane in range(first, first + lanes):
        loss += np.float64(work.loss[lane])
        least += np.float64(best[lane])
    if loss < least:
        for lane in range(first, first + lanes):
            best[lane] = work.loss[lane]
            best[LANES + lane] = work.scale[lane]
            best[2 * LANES + lane] = work.minimum[lane]
            best[3 * LANES + lane] = work.d[lane]
            best[4 * LANES + lane] = work.dmin[lane]
