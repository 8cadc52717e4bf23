"""One trial of sixteen sub-blocks at once, each in its lane: weights to codes, and the sums that say how good they are.

A matrix of lanes holds the k-th weight of every sub-block side by side: float32 [16 * size]. Written as vector code, so that
its sums go over a sub-block's weights one after the other, in the same order on every machine.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from qtquant_app.quant.kernels.lanes import FLOATS, LANES, data_of, load_lanes, spread, store_lanes, zero_of

SUMS = 5
"""What a trial sums: u, u^2, e, e u and e^2, for codes u and e = w - w'."""


@intrinsic
def trial(
    _context: Any,
    values: Any,
    importance: Any,
    size: Any,
    inverse: Any,
    step: Any,
    base: Any,
    lowest: Any,
    top: Any,
    sums: Any,
) -> Any:
    """Rounds values [16 * size] to base + u * step with u whole, lowest to top, and sums [5 * 16] what `SUMS` says.

    `inverse`, `step` and `base` are float32 [16]; u is the nearest to (w - base) * inverse. Each term is multiplied by the
    `importance` [16 * size] of its weight; None counts every weight once.
    """
    weighted = not isinstance(importance, types.NoneType)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def at(position: int) -> Any:
            return data_of(context, builder, signature, args, position)

        inverse_lanes, step_lanes, base_lanes = (load_lanes(builder, at(k), FLOATS, 0) for k in (3, 4, 5))
        lowest_lanes, top_lanes = (spread(builder, args[k]) for k in (6, 7))
        totals = [cgutils.alloca_once_value(builder, zero_of(FLOATS)) for _ in range(SUMS)]
        values_at, importance_at = at(0), at(1) if weighted else None
        with cgutils.for_range(builder, args[2]) as loop:
            value = load_lanes(builder, values_at, FLOATS, loop.index)
            code = builder.fmul(builder.fsub(value, base_lanes), inverse_lanes)
            code = _whole(builder, _clamped(builder, code, lowest_lanes, top_lanes))
            error = builder.fsub(value, builder.fadd(builder.fmul(code, step_lanes), base_lanes))
            counted = (code, error)
            if weighted:
                share = load_lanes(builder, importance_at, FLOATS, loop.index)
                counted = (builder.fmul(share, code), builder.fmul(share, error))
            _add(builder, totals, code, error, *counted)
        for index, total in enumerate(totals):
            store_lanes(builder, builder.load(total), at(8), FLOATS, index)
        return context.get_dummy_value()

    single = types.float32
    return types.void(values, importance, types.int64, inverse, step, base, single, single, sums), emit


def _add(builder: Any, totals: Any, code: Any, error: Any, counted_code: Any, counted_error: Any) -> None:
    terms = (
        counted_code,
        builder.fmul(counted_code, code),
        counted_error,
        builder.fmul(counted_error, code),
        builder.fmul(counted_error, error),
    )
    for total, term in zip(totals, terms, strict=True):
        builder.store(builder.fadd(builder.load(total), term), total)


def _clamped(builder: Any, value: Any, lowest: Any, top: Any) -> Any:
    value = builder.select(builder.fcmp_ordered(">", value, lowest), value, lowest)
    return builder.select(builder.fcmp_ordered("<", value, top), value, top)


def _whole(builder: Any, value: Any) -> Any:
    magic = ir.Constant(FLOATS, [12582912.0] * LANES)
    return builder.fsub(builder.fadd(value, magic), magic)
