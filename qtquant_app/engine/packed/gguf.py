"""GGUF: rows of blocks, decoded by the kernels that write them; rows of q and k, which llama.cpp interleaves, put back in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import Floats, floats
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

PLAIN = ("F32", "F16", "BF16")


class Gguf(Layout):
    name = "gguf"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        return None  # a GGUF file names the type of each tensor: see engine.gguf_source

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        from qtquant_app.formats.gguf.architectures.base import row_positions

        codes, type_, heads = packed.parts[0][1], packed.word("type"), int(packed.word("heads") or 0)
        if len(codes.shape) == 1 and heads:  # a bias: its numbers change places as rows do
            return _bias(reader, codes, type_, row_positions(codes.shape[0], heads))
        offset = np.float32(packed.word("offset") or 0)
        width = codes.nbytes * columns // codes.parameters
        count = codes.nbytes // width
        places = row_positions(count, heads)[start:stop] if heads else np.arange(start, stop)
        first, last = int(places.min()), int(places.max()) + 1
        data = reader.read(codes.file, codes.offset + first * width, (last - first) * width, "packed")
        rows = data.reshape(last - first, width)

        def decode(begin: int, end: int) -> Floats:
            taken = np.ascontiguousarray(rows[places[begin:end] - first])
            if type_ in PLAIN:
                values = floats(taken.reshape(-1), type_).reshape(end - begin, columns)
            else:
                from qtquant_app.quant.kernels.blocks_codec import dequantize

                values = dequantize(taken, type_, columns)
            return values - offset if offset else values

        return decode


def _bias(reader: RangeReader, codes: TensorInfo, type_: str, places: NDArray[np.int64]) -> Decode:
    values = floats(reader.read(codes.file, codes.offset, codes.nbytes, "packed"), type_)[places]
    return lambda begin, end: values.reshape(1, -1)[begin:end]


def packed_as(type_: str, codes: TensorInfo, heads: int = 0, offset: float = 0.0) -> Packed:
    """How a tensor of a GGUF file is decoded: `heads` whose rows are interleaved, `offset` that was added to its values."""
    words = (("label", f"GGUF {type_}"), ("type", type_), ("heads", str(heads)), ("offset", repr(offset)))
    if type_ in PLAIN:
        return Packed("gguf", "", (("codes", codes),), 32 if type_ == "F32" else 16, type="float", words=words)
    layout = LAYOUTS[type_]
    return Packed(
        layout="gguf",
        method="gguf",
        parts=(("codes", codes),),
        bits=layout.bits,
        group_size=layout.group,
        symmetric=layout.symmetric,
        words=words,
    )
