"""Sums in sixteen float64 lanes: element j goes to lane j % 16, and the lanes are folded in a fixed order.

So a sum has one value, whatever the chunks, the threads and the width of the machine's vectors. Written as vector
code because a compiler may not reorder a float sum by itself. Squares of float32 are exact in float64: fusing a
square into the addition (`contract`) cannot change it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16

_F32 = ir.VectorType(ir.FloatType(), LANES)
_F64 = ir.VectorType(ir.DoubleType(), LANES)


@intrinsic
def add_errors(_context: Any, lanes: Any, weights: Any, restored: Any, blocks: Any) -> Any:
    """(lanes float64 [4 * 16], weights float32 [16 * blocks], restored likewise, blocks): adds to sixteen lanes each.

    The lanes hold the sums of e^2, w^2 and w'^2 and the largest |e|, with e = w - w' rounded to float32.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes_at, weights_at, restored_at = (_data(context, builder, signature, args, k) for k in range(3))
        *sums, highest = (_load(builder, lanes_at, _F64, index) for index in range(4))
        totals = [cgutils.alloca_once_value(builder, lane) for lane in sums]
        peak = cgutils.alloca_once_value(builder, builder.fptrunc(highest, _F32))
        with cgutils.for_range(builder, args[3]) as loop:
            weight = _load(builder, weights_at, _F32, loop.index)
            back = _load(builder, restored_at, _F32, loop.index)
            error = builder.fsub(weight, back)
            for total, value in zip(totals, (error, weight, back), strict=True):
                _add_square(builder, total, value)
            size = builder.select(builder.fcmp_ordered("<", error, _zero(_F32)), builder.fneg(error), error)
            so_far = builder.load(peak)
            builder.store(builder.select(builder.fcmp_ordered(">", size, so_far), size, so_far), peak)
        for index, total in enumerate(totals):
            _store(builder, builder.load(total), lanes_at, _F64, index)
        _store(builder, builder.fpext(builder.load(peak), _F64), lanes_at, _F64, 3)
        return context.get_dummy_value()

    return types.void(lanes, weights, restored, types.int64), emit


@intrinsic
def trial_error(_context: Any, weights: Any, blocks: Any, scale: Any, lowest: Any, highest: Any) -> Any:
    """The squared error of rounding float32 weights [16 * blocks] to whole multiples, lowest to highest, of `scale`.

    The sum over the sixteen lanes, folded; the same arithmetic as coding and decoding, without storing either.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights_at = _data(context, builder, signature, args, 0)
        total = cgutils.alloca_once_value(builder, _zero(_F64))
        scale, lowest, highest = (_spread(builder, value) for value in args[2:])
        magic = ir.Constant(_F32, [12582912.0] * LANES)
        with cgutils.for_range(builder, args[1]) as loop:
            weight = _load(builder, weights_at, _F32, loop.index)
            steps = builder.fdiv(weight, scale)
            steps = builder.select(builder.fcmp_ordered(">", steps, lowest), steps, lowest)
            steps = builder.select(builder.fcmp_ordered("<", steps, highest), steps, highest)
            steps = builder.fsub(builder.fadd(steps, magic), magic)
            _add_square(builder, total, builder.fsub(weight, builder.fmul(steps, scale)))
        return _folded(builder, builder.load(total))

    single = types.float32
    return types.float64(weights, types.int64, single, single, single), emit


@intrinsic
def folded(_context: Any, sums: Any, index: Any) -> Any:
    """(float64 [16 * n], index) -> float64: the sum over the sixteen lanes at `index`, halves added to halves."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _folded(builder, _load(builder, _data(context, builder, signature, args, 0), _F64, args[1]))

    return types.float64(sums, types.int64), emit


def _folded(builder: Any, lanes: Any) -> Any:
    width = LANES
    while width > 1:
        width //= 2
        halves = [_part(builder, lanes, start, width) for start in (0, width)]
        lanes = builder.fadd(*halves)
    return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))


def _part(builder: Any, vector: Any, start: int, width: int) -> Any:
    order = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(start, start + width)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)


def _zero(kind: Any) -> Any:
    return ir.Constant(kind, None)


def _add_square(builder: Any, total: Any, value: Any) -> None:
    wide = builder.fpext(value, _F64)
    square = builder.fmul(wide, wide, flags=("contract",))
    builder.store(builder.fadd(builder.load(total), square, flags=("contract",)), total)


def _spread(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_F32, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(first, ir.Constant(_F32, ir.Undefined), order)


def _data(context: Any, builder: Any, signature: Any, args: Any, position: int) -> Any:
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _address(builder: Any, data: Any, kind: Any, index: Any) -> Any:
    if isinstance(index, int):
        index = ir.Constant(ir.IntType(64), index)
    offset = builder.mul(index, ir.Constant(index.type, LANES))
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def _load(builder: Any, data: Any, kind: Any, index: Any) -> Any:
    return builder.load(_address(builder, data, kind, index), align=4, typ=kind)


def _store(builder: Any, value: Any, data: Any, kind: Any, index: int) -> None:
    builder.store(value, _address(builder, data, kind, index), align=4)
