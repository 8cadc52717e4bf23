"""Codes to bytes and back: the dense little-endian bit stream, b bits a code, for every width from 2 to 8.

Sixty-four codes become 8b bytes at once. Eight of them lie in a 64-bit word, one a byte; three times, neighbours
are shifted together (b -> 2b -> 4b -> 8b bits) and then the b bytes in use of each word are put side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from qtquant_app.quant.chunk import row_bytes
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.source import flat, span

BLOCK = 64
WIDTHS = (2, 3, 4, 5, 6, 7, 8)

_INT = types.int64
_BYTE = ir.IntType(8)
_CODES = ir.VectorType(_BYTE, BLOCK)
_WORDS = ir.VectorType(ir.IntType(64), BLOCK // 8)


def pack(codes: NDArray[np.uint8], bits: int, align: int = 1) -> NDArray[np.uint8]:
    """Packs codes uint8 [rows, columns] (their low `bits` bits) into uint8 [rows, row_bytes]; unused bits are zero."""
    packed = np.empty((codes.shape[0], row_bytes(codes.shape[1], _width(bits), align)), np.uint8)
    pack_rows(flat(codes), codes.shape[1], bits, packed.reshape(-1), packed.shape[1])
    return packed


def unpack(packed: NDArray[np.uint8], bits: int, columns: int) -> NDArray[np.uint8]:
    """The first `columns` codes of each row of packed uint8 [rows, row_bytes], as uint8 [rows, columns]."""
    if packed.shape[1] < row_bytes(columns, _width(bits), 1):
        raise ValueError(f"{packed.shape[1]} bytes do not hold {columns} codes of {bits} bits")
    codes = np.empty((packed.shape[0], columns), np.uint8)
    unpack_rows(flat(packed), packed.shape[1], bits, codes.reshape(-1), columns)
    return codes


def _width(bits: int) -> int:
    if bits not in WIDTHS:
        raise ValueError(f"{bits} bits are outside 2 to 8")
    return bits


@compiled
def pack_rows(codes: Any, columns: int, bits: int, packed: Any, row_bytes: int) -> None:
    """Packs each `columns` codes of codes uint8 [rows * columns] into `row_bytes` of packed uint8."""
    for row in range(len(packed) // row_bytes):
        pack_row(codes, row * columns, columns, bits, packed, row * row_bytes, (row + 1) * row_bytes)


@compiled
def unpack_rows(packed: Any, row_bytes: int, bits: int, codes: Any, columns: int) -> None:
    """Fills codes uint8 [rows * columns] from each `row_bytes` of packed uint8."""
    for row in range(len(codes) // columns):
        unpack_row(packed, row * row_bytes, bits, codes, row * columns, columns)


@compiled
def pack_row(codes: Any, first: int, count: int, bits: int, packed: Any, start: int, stop: int) -> None:
    """Packs codes[first:first + count], uint8, into packed[start:stop], uint8; what is left there becomes zero."""
    blocks = count // BLOCK
    pack_blocks(codes, first, packed, start, blocks, bits)
    done = start + 8 * blocks * bits
    if done < stop:
        last, room = np.zeros(BLOCK, np.uint8), np.zeros(BLOCK, np.uint8)
        copy(codes, first + blocks * BLOCK, last, 0, count - blocks * BLOCK)
        pack_blocks(last, 0, room, 0, 1, bits)
        held = ((count - blocks * BLOCK) * bits + 7) // 8
        copy(room, 0, packed, done, held)
        for i in span(done + held, stop):
            packed[i] = 0


@compiled
def unpack_row(packed: Any, start: int, bits: int, codes: Any, first: int, count: int) -> None:
    """Fills codes[first:first + count], uint8, from packed uint8, from `start` on."""
    blocks = count // BLOCK
    unpack_blocks(packed, start, codes, first, blocks, bits)
    rest = count - blocks * BLOCK
    if rest:
        room, last = np.zeros(BLOCK, np.uint8), np.zeros(BLOCK, np.uint8)
        copy(packed, start + 8 * blocks * bits, room, 0, (rest * bits + 7) // 8)
        unpack_blocks(room, 0, last, 0, 1, bits)
        copy(last, 0, codes, first + blocks * BLOCK, rest)


@compiled
def copy(source: Any, source_at: int, target: Any, target_at: int, count: int) -> None:
    """Copies `count` elements from source[source_at:] to target[target_at:]."""
    here, there = np.uint64(source_at), np.uint64(target_at)
    for i in span(0, count):
        target[there + i] = source[here + i]


@intrinsic
def pack_blocks(_context: Any, codes: Any, first: Any, packed: Any, start: Any, blocks: Any, bits: Any) -> Any:
    """Packs 64 codes `blocks` times, from codes[first:], uint8, to 8 * bits bytes each in packed[start:], uint8.

    The caller keeps within both.
    """

    def one(builder: Any, codes_at: Any, packed_at: Any, width: int) -> None:
        value = builder.load(codes_at, align=1, typ=_WORDS)
        for field in (8, 16, 32):
            used = width * field // 8
            lower = builder.and_(value, _every(2 * field, used, 0))
            upper = builder.and_(builder.lshr(value, _each(field - used)), _every(2 * field, used, used))
            value = builder.or_(lower, upper)
        order = [8 * word + byte for word in range(8) for byte in range(width)]
        _store(builder, _picked(builder, builder.bitcast(value, _CODES), order), packed_at)

    return types.void(codes, _INT, packed, _INT, _INT, _INT), _by_width(one, packs=True)


@intrinsic
def unpack_blocks(_context: Any, packed: Any, start: Any, codes: Any, first: Any, blocks: Any, bits: Any) -> Any:
    """The inverse of pack_blocks: from packed[start:] to codes[first:]."""

    def one(builder: Any, packed_at: Any, codes_at: Any, width: int) -> None:
        held = builder.load(packed_at, align=1, typ=ir.VectorType(_BYTE, 8 * width))
        order = [width * word + byte if byte < width else 8 * width for word in range(8) for byte in range(8)]
        value = builder.bitcast(_picked(builder, held, order), _WORDS)
        for field in (32, 16, 8):
            used = width * field // 8
            lower = builder.and_(value, _every(2 * field, used, 0))
            upper = builder.and_(builder.shl(value, _each(field - used)), _every(2 * field, used, field))
            value = builder.or_(lower, upper)
        _store(builder, builder.bitcast(value, _CODES), codes_at)

    return types.void(packed, _INT, codes, _INT, _INT, _INT), _by_width(one, packs=False)


def _by_width(one: Any, packs: bool) -> Any:
    """Code that runs `one` on every block, compiled apart for each width."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target = (
            builder.gep(context.make_array(signature.args[k])(context, builder, args[k]).data, [args[k + 1]])
            for k in (0, 2)
        )
        after = builder.append_basic_block("packed")
        choice = builder.switch(args[5], after)
        for width in WIDTHS:
            choice.add_case(ir.Constant(ir.IntType(64), width), case := builder.append_basic_block(f"bits{width}"))
            builder.position_at_end(case)
            strides = (BLOCK, 8 * width) if packs else (8 * width, BLOCK)
            with cgutils.for_range(builder, args[4]) as loop:
                offsets = [builder.mul(loop.index, ir.Constant(ir.IntType(64), stride)) for stride in strides]
                one(builder, builder.gep(source, [offsets[0]]), builder.gep(target, [offsets[1]]), width)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return emit


def _store(builder: Any, value: Any, place: Any) -> None:
    builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=1)


def _every(field: int, used: int, place: int) -> Any:
    """A mask of `used` bits from bit `place` on of every `field` bits."""
    return _each(sum(((1 << used) - 1) << (start + place) for start in range(0, 64, field)))


def _each(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * _WORDS.count)


def _picked(builder: Any, vector: Any, order: list[int]) -> Any:
    """The bytes of `vector` at `order`; an index past its end picks a zero."""
    places = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, None), places)
