"""bitsandbytes: four-bit codes of a table (NF4, FP4) in flat blocks of the weight, beside the largest |w| of each; and int8.

Of two codes in a byte the upper half is the first. Where the maxima are quantized again, each is an entry of a second table,
times that of its own block of maxima, plus one offset. int8 rows: w = q SCB / 127.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import Floats, floats
from qtquant_app.engine.packed.compressed_tensors import rows_of, scales_of
from qtquant_app.engine.packed.groups import weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told, number

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
_STATES = ("nf4", "fp4")
_MOST = 1 << 20
"""Weights of a block; bitsandbytes has up to 4096."""


class Int8(Layout):
    name = "bitsandbytes-int8"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale = module.get("weight"), module.get("SCB")
        if codes is None or scale is None or codes.dtype != "I8" or len(codes.shape) != 2 or not all(codes.shape):
            return None
        if scale.dtype != "F32" or scale.shape != codes.shape[:1]:
            return None
        packed = Packed(
            layout=self.name,
            method="bitsandbytes",
            parts=module.parts(codes="weight", scale="SCB", format="weight_format"),
            bits=8,
            words=(("label", "bitsandbytes int8"),),
        )
        return weight(module.name, told.dtype, codes.shape, packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes = packed.part("codes")
        assert codes is not None
        rows = rows_of(reader, codes, start, stop).view(np.int8)
        scale = scales_of(reader, packed, start, stop) / np.float32(127)

        def decode(first: int, last: int) -> Floats:
            values: Floats = rows[first:last].astype(np.float32)
            values *= scale[first:last]
            return values

        return decode


class Table4(Layout):
    name = "bitsandbytes-4bit"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale, table = module.get("weight"), module.get("weight.absmax"), module.get("weight.quant_map")
        kind = next((name for name in _STATES if module.get(f"weight.quant_state.bitsandbytes__{name}")), "")
        state = told.states.get(module.name, {})
        shape, size = _shape(state), number(state, "blocksize") or 0
        if codes is None or scale is None or table is None or not kind or not shape or not 1 <= size <= _MOST:
            return None
        count = prod(shape)
        if codes.nbytes != -(-count // 2) or scale.parameters != -(-count // size) or table.shape != (16,):
            return None
        nested = _nested(module, state, scale)
        if nested is None:
            return None
        packed = Packed(
            layout=self.name,
            method="bitsandbytes",
            parts=module.parts(
                codes="weight",
                scale="weight.absmax",
                table="weight.quant_map",
                nested="weight.nested_absmax",
                nested_table="weight.nested_quant_map",
                state=f"weight.quant_state.bitsandbytes__{kind}",
            ),
            bits=4,
            group_size=size,
            type="float",
            words=(("label", f"bitsandbytes {kind.upper()}"), ("block", str(size)), *nested),
        )
        return weight(module.name, _DTYPES.get(str(state.get("dtype")), told.dtype), shape, packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        size, begin, end = int(packed.word("block")), start * columns, stop * columns
        codes = packed.part("codes")
        assert codes is not None
        data = reader.read(codes.file, codes.offset + begin // 2, -(-end // 2) - begin // 2, "packed")
        block = begin // size
        scale, table = _maxima(reader, packed, block, -(-end // size)), _whole(reader, packed, "table")

        def decode(first: int, last: int) -> Floats:
            low, high = begin + first * columns, begin + last * columns
            pairs = data[low // 2 - begin // 2 : -(-high // 2) - begin // 2]
            both = np.stack((pairs >> np.uint8(4), pairs & np.uint8(15)), axis=1).reshape(-1)
            values: Floats = table[both[low % 2 : low % 2 + high - low]]
            at = low // size - block
            values *= np.repeat(scale[at : -(-high // size) - block], size)[low % size : low % size + high - low]
            return values.reshape(last - first, columns)

        return decode


def _shape(state: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape that the quantization state names; empty where it is none of a matrix."""
    sides = state.get("shape")
    fits = (
        isinstance(sides, list) and len(sides) == 2 and all(type(side) is int and 0 < side < 1 << 31 for side in sides)
    )
    return tuple(sides) if fits and isinstance(sides, list) else ()


def _nested(module: Module, state: Mapping[str, Any], scale: TensorInfo) -> tuple[tuple[str, str], ...] | None:
    """What is to be known of maxima that are quantized themselves; None where it does not fit."""
    if scale.dtype == "F32":
        return ()
    maxima, table = module.get("weight.nested_absmax"), module.get("weight.nested_quant_map")
    size, offset = number(state, "nested_blocksize") or 0, state.get("nested_offset")
    if maxima is None or table is None or scale.dtype != "U8" or not 1 <= size <= _MOST or table.shape != (256,):
        return None
    if maxima.parameters != -(-scale.parameters // size) or type(offset) not in (int, float):
        return None
    return ("nested", str(size)), ("offset", repr(float(offset or 0)))


def _whole(reader: RangeReader, packed: Packed, part: str) -> Floats:
    tensor = packed.part(part)
    assert tensor is not None
    return floats(reader.read(tensor.file, tensor.offset, tensor.nbytes, part), tensor.dtype)


def _maxima(reader: RangeReader, packed: Packed, first: int, last: int) -> Floats:
    """The largest |w| of blocks `first` to `last`."""
    tensor = packed.part("scale")
    assert tensor is not None
    width = tensor.nbytes // tensor.parameters
    data = reader.read(tensor.file, tensor.offset + first * width, (last - first) * width, "scale")
    if tensor.dtype == "F32":
        return floats(data, "F32")
    size = int(packed.word("nested"))
    values = _whole(reader, packed, "nested_table")[data]
    own: Floats = np.repeat(_whole(reader, packed, "nested"), size)[first:last]
    found: Floats = values * own + np.float32(packed.word("offset"))
    return found
