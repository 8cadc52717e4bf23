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

FLOATS = ir.VectorType(ir.FloatType(), LANES)
_F64 = ir.VectorType(ir.DoubleType(), LANES)
_I64 = ir.VectorType(ir.IntType(64), LANES)


@intrinsic
def add_errors(_context: Any, lanes: Any, weights: Any, restored: Any, blocks: Any) -> Any:
    """(lanes float64 [4 * 16], weights float32 [16 * blocks], restored likewise, blocks): adds to sixteen lanes each.

    The lanes hold the sums of e^2, w^2 and w'^2 and the largest |e|, with e = w - w' rounded to float32.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes_at, weights_at, restored_at = (data_of(context, builder, signature, args, k) for k in range(3))
        *sums, highest = (load_lanes(builder, lanes_at, _F64, index) for index in range(4))
        totals = [cgutils.alloca_once_value(builder, lane) for lane in sums]
        peak = cgutils.alloca_once_value(builder, builder.fptrunc(highest, FLOATS))
        with cgutils.for_range(builder, args[3]) as loop:
            weight = load_lanes(builder, weights_at, FLOATS, loop.index)
            back = load_lanes(builder, restored_at, FLOATS, loop.index)
            error = builder.fsub(weight, back)
            for total, value in zip(totals, (error, weight, back), strict=True):
                _add_square(builder, total, value)
            size = builder.select(builder.fcmp_ordered("<", error, zero_of(FLOATS)), builder.fneg(error), error)
            so_far = builder.load(peak)
            builder.store(builder.select(builder.fcmp_ordered(">", size, so_far), size, so_far), peak)
        for index, total in enumerate(totals):
            store_lanes(builder, builder.load(total), lanes_at, _F64, index)
        store_lanes(builder, builder.fpext(builder.load(peak), _F64), lanes_at, _F64, 3)
        return context.get_dummy_value()

    return types.void(lanes, weights, restored, types.int64), emit


@intrinsic
def trial_error(_context: Any, weights: Any, blocks: Any, scale: Any, lowest: Any, highest: Any) -> Any:
    """The squared error of rounding float32 weights [16 * blocks] to whole multiples, lowest to highest, of `scale`.

    The sum over the sixteen lanes, folded; the same arithmetic as coding and decoding, without storing either.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights_at = data_of(context, builder, signature, args, 0)
        total = cgutils.alloca_once_value(builder, zero_of(_F64))
        scale, lowest, highest = (spread(builder, value) for value in args[2:])
        magic = ir.Constant(FLOATS, [12582912.0] * LANES)
        with cgutils.for_range(builder, args[1]) as loop:
            weight = load_lanes(builder, weights_at, FLOATS, loop.index)
            steps = builder.fdiv(weight, scale)
            steps = builder.select(builder.fcmp_ordered(">", steps, lowest), steps, lowest)
            steps = builder.select(builder.fcmp_ordered("<", steps, highest), steps, highest)
            steps = builder.fsub(builder.fadd(steps, magic), magic)
            _add_square(builder, total, builder.fsub(weight, builder.fmul(steps, scale)))
        return _folded(builder, builder.load(total))

    single = types.float32
    return types.float64(weights, types.int64, single, single, single), emit


@intrinsic
def trial_offset_error(
    _context: Any, weights: Any, blocks: Any, count: Any, scale: Any, offset: Any, highest: Any
) -> Any:
    """As `trial_error`, of rounding the first `count` of float32 weights [16 * blocks] to `offset` and whole multiples, 0 to
    `highest`, of `scale` above it."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights_at = data_of(context, builder, signature, args, 0)
        total = cgutils.alloca_once_value(builder, zero_of(_F64))
        scale, offset, highest = (spread(builder, value) for value in args[3:])
        magic = ir.Constant(FLOATS, [12582912.0] * LANES)
        own = ir.Constant(_I64, list(range(LANES)))
        with cgutils.for_range(builder, args[1]) as loop:
            weight = load_lanes(builder, weights_at, FLOATS, loop.index)
            steps = builder.fdiv(builder.fsub(weight, offset), scale)
            steps = builder.select(builder.fcmp_ordered(">", steps, zero_of(FLOATS)), steps, zero_of(FLOATS))
            steps = builder.select(builder.fcmp_ordered("<", steps, highest), steps, highest)
            steps = builder.fsub(builder.fadd(steps, magic), magic)
            error = builder.fsub(weight, builder.fadd(builder.fmul(steps, scale), offset))
            first = builder.mul(loop.index, ir.Constant(loop.index.type, LANES))
            there = builder.icmp_signed(
                "<", builder.add(_spread_number(builder, first), own), _spread_number(builder, args[2])
            )
            _add_square(builder, total, builder.select(there, error, zero_of(FLOATS)))
        return _folded(builder, builder.load(total))

    single = types.float32
    return types.float64(weights, types.int64, types.int64, single, single, single), emit


@intrinsic
def trial_weighted_error(
    _context: Any, weights: Any, shares: Any, blocks: Any, scale: Any, lowest: Any, highest: Any
) -> Any:
    """As `trial_error`, each squared error times the share float32 [16 * blocks] of its weight. Each product is rounded."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights_at, shares_at = (data_of(context, builder, signature, args, k) for k in range(2))
        total = cgutils.alloca_once_value(builder, zero_of(_F64))
        scale, lowest, highest = (spread(builder, value) for value in args[3:])
        magic = ir.Constant(FLOATS, [12582912.0] * LANES)
        with cgutils.for_range(builder, args[2]) as loop:
            weight = load_lanes(builder, weights_at, FLOATS, loop.index)
            steps = builder.fdiv(weight, scale)
            steps = builder.select(builder.fcmp_ordered(">", steps, lowest), steps, lowest)
            steps = builder.select(builder.fcmp_ordered("<", steps, highest), steps, highest)
            steps = builder.fsub(builder.fadd(steps, magic), magic)
            error = builder.fsub(weight, builder.fmul(steps, scale))
            _add_share(builder, total, error, load_lanes(builder, shares_at, FLOATS, loop.index))
        return _folded(builder, builder.load(total))

    single = types.float32
    return types.float64(weights, shares, types.int64, single, single, single), emit


@intrinsic
def trial_weighted_offset_error(
    _context: Any, weights: Any, shares: Any, blocks: Any, scale: Any, offset: Any, highest: Any
) -> Any:
    """As `trial_offset_error`, each squared error times the share float32 [16 * blocks] of its weight, zero where there is none."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights_at, shares_at = (data_of(context, builder, signature, args, k) for k in range(2))
        total = cgutils.alloca_once_value(builder, zero_of(_F64))
        scale, offset, highest = (spread(builder, value) for value in args[3:])
        magic = ir.Constant(FLOATS, [12582912.0] * LANES)
        with cgutils.for_range(builder, args[2]) as loop:
            weight = load_lanes(builder, weights_at, FLOATS, loop.index)
            steps = builder.fdiv(builder.fsub(weight, offset), scale)
            steps = builder.select(builder.fcmp_ordered(">", steps, zero_of(FLOATS)), steps, zero_of(FLOATS))
            steps = builder.select(builder.fcmp_ordered("<", steps, highest), steps, highest)
            steps = builder.fsub(builder.fadd(steps, magic), magic)
            error = builder.fsub(weight, builder.fadd(builder.fmul(steps, scale), offset))
            _add_share(builder, total, error, load_lanes(builder, shares_at, FLOATS, loop.index))
        return _folded(builder, builder.load(total))

    single = types.float32
    return types.float64(weights, shares, types.int64, single, single, single), emit


@intrinsic
def folded(_context: Any, sums: Any, index: Any) -> Any:
    """(float64 [16 * n], index) -> float64: the sum over the sixteen lanes at `index`, halves added to halves."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _folded(builder, load_lanes(builder, data_of(context, builder, signature, args, 0), _F64, args[1]))

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


def zero_of(kind: Any) -> Any:
    return ir.Constant(kind, None)


def _add_square(builder: Any, total: Any, value: Any) -> None:
    wide = builder.fpext(value, _F64)
    square = builder.fmul(wide, wide, flags=("contract",))
    builder.store(builder.fadd(builder.load(total), square, flags=("contract",)), total)


def _add_share(builder: Any, total: Any, error: Any, share: Any) -> None:
    wide = builder.fpext(error, _F64)
    weighed = builder.fmul(builder.fmul(wide, wide), builder.fpext(share, _F64))
    builder.store(builder.fadd(builder.load(total), weighed), total)


def spread(builder: Any, value: Any, kind: Any = FLOATS) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), order)


def _spread_number(builder: Any, value: Any) -> Any:
    return spread(builder, value, _I64)


def data_of(context: Any, builder: Any, signature: Any, args: Any, position: int) -> Any:
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _address(builder: Any, data: Any, kind: Any, index: Any) -> Any:
    if isinstance(index, int):
        index = ir.Constant(ir.IntType(64), index)
    offset = builder.mul(index, ir.Constant(index.type, LANES))
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def load_lanes(builder: Any, data: Any, kind: Any, index: Any) -> Any:
    return builder.load(_address(builder, data, kind, index), align=4, typ=kind)


def store_lanes(builder: Any, value: Any, data: Any, kind: Any, index: int) -> None:
    builder.store(value, _address(builder, data, kind, index), align=4)
