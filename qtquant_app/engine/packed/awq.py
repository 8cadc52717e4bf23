"""AWQ GEMM: four bits, eight output channels to a word of `qweight` [in, out / 8], in the order 0 2 4 6 1 3 5 7; `qzeros` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import Bytes, Floats, affine
from qtquant_app.engine.packed.gptq import parameters
from qtquant_app.engine.packed.groups import bits_notes, float_dtype, group_notes, group_size, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_EACH = 8
_PLACES = np.array([0, 4, 1, 5, 2, 6, 3, 7], np.uint32) * np.uint32(4)
"""The bit at which each of eight channels lies in its word."""


class Awq(Layout):
    name = "awq"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale, zero = module.get("qweight"), module.get("scales"), module.get("qzeros")
        if codes is None or scale is None or codes.dtype not in ("I32", "U32"):
            return None
        if len(codes.shape) != 2 or len(scale.shape) != 2 or not all((*codes.shape, *scale.shape)):
            return None
        (columns, words), (groups, rows) = codes.shape, scale.shape
        if rows != words * _EACH or (zero is not None and zero.shape != (groups, words)):
            return None
        said = told.number("group_size")
        size = group_size(columns, groups, said)
        if size == 0:
            return None
        packed = Packed(
            layout=self.name,
            method="awq",
            parts=module.parts(codes="qweight", scale="scales", zero="qzeros"),
            bits=4,
            group_size=size,
            symmetric=zero is None,
            notes=(*bits_notes(4, told.number("bits")), *group_notes(columns, size, said)),
        )
        return weight(module.name, float_dtype(scale.dtype, told.dtype), (rows, columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        rows = _channels(reader, packed, "codes", start, stop)
        scale = parameters(reader, packed, start, stop)
        zero = 8.0 if packed.part("zero") is None else _channels(reader, packed, "zero", start, stop).astype(np.float32)

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            return affine(rows[own], scale[own], zero if isinstance(zero, float) else zero[own], packed.group_size)

        return decode


def _channels(reader: RangeReader, packed: Packed, part: str, start: int, stop: int) -> Bytes:
    """The numbers of channels `start` to `stop` in a stored matrix of words, one a byte, a row a channel."""
    tensor = packed.part(part)
    assert tensor is not None
    first, last = start // _EACH, -(-stop // _EACH)
    words = reader.columns(tensor.file, tensor.offset, tensor.shape, 4, first, last, part).view("<u4").T
    codes = ((words[:, None, :] >> _PLACES[:, None]) & np.uint32(15)).astype(np.uint8)
    channels: Bytes = codes.reshape(-1, words.shape[1])
    return channels[start - first * _EACH : stop - first * _EACH]
