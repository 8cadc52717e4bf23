"""FP8: an E4M3 number for each weight, times the scale of its tensor, row, group or block.

compressed-tensors calls the scale `weight_scale`, checkpoints in the manner of DeepSeek `weight_scale_inv`; both multiply.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import Floats, floats, spread
from qtquant_app.engine.packed.compressed_tensors import METHOD, group_of, rows_of, scales_of
from qtquant_app.engine.packed.groups import bits_notes, float_dtype, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told, number

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_BLOCK = 128
_CODES = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")


class FloatQuantized(Layout):
    name = "float-quantized"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes = module.get("weight")
        leaf = next((name for name in ("weight_scale", "weight_scale_inv") if module.get(name) is not None), "")
        scale = module.get(leaf)
        if codes is None or scale is None or codes.dtype not in _CODES or len(codes.shape) != 2 or not all(codes.shape):
            return None
        rows, columns = codes.shape
        block = block_of(scale, rows, columns)
        if block is None or scale.dtype not in ("F32", "BF16", "F16"):
            return None
        said = group_of(told, module.name)
        high, wide = block
        packed = Packed(
            layout=self.name,
            method=told.method or METHOD,
            parts=module.parts(codes="weight", scale=leaf, input="input_scale", activation="activation_scale"),
            bits=8,
            group_size=None if wide == columns else wide,
            type="float",
            block_rows=high,
            notes=bits_notes(8, number(said, "num_bits")),
        )
        return weight(module.name, float_dtype(scale.dtype, told.dtype), (rows, columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes = packed.part("codes")
        assert codes is not None
        return load_scaled(reader, packed, codes.dtype, columns, start, stop)


def load_scaled(reader: RangeReader, packed: Packed, dtype: str, columns: int, start: int, stop: int) -> Decode:
    """A decoder of the rows from `start` to `stop` of codes of `dtype`, each times its scale."""
    codes, scales = packed.part("codes"), packed.part("scale")
    assert codes is not None and scales is not None
    rows, table = rows_of(reader, codes, start, stop), _table(dtype)
    high = packed.block_rows
    if scales.parameters > 1 and high > 1:
        first = start // high
        kept = scales_of(reader, packed, first, -(-stop // high))
        scale = kept[np.arange(start, stop) // high - first]
    else:
        scale = scales_of(reader, packed, start, stop)

    def decode(first: int, last: int) -> Floats:
        own = slice(first, last)
        values: Floats = table[rows[own]]
        values *= scale[own] if scale.shape[1] == 1 else spread(scale[own], packed.group_size, columns)
        return values

    return decode


@cache
def _table(dtype: str) -> Floats:
    return floats(np.arange(256, dtype=np.uint8), dtype)


def block_of(scale: TensorInfo, rows: int, columns: int) -> tuple[int, int] | None:
    """Rows and columns that share a scale; None where the shape is none of scales for [rows, columns]."""
    if scale.parameters == 1:
        return 1, columns
    if scale.shape == (rows,):
        return 1, columns
    if len(scale.shape) != 2 or not all(scale.shape):
        return None
    high, wide = (_side(side, count) for side, count in zip((rows, columns), scale.shape, strict=True))
    return None if high is None or wide is None else (high, wide)


def _side(side: int, count: int) -> int | None:
    """Into parts of how many a side falls that has `count` of them; the last may be shorter."""
    if count in (1, side):
        return side // count
    if -(-side // _BLOCK) == count:
        return _BLOCK
    return side // count if side % count == 0 else None
