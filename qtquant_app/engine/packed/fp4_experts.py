"""MXFP4 stacks of experts as gpt-oss stores them: `_blocks` [experts, outputs, inputs / 32, 16] and `_scales` [experts, outputs,
inputs / 32]. Two E2M1 numbers a byte, the even input in the low half; scales are powers of two (E8M0).

transformers 5.23 (integrations/mxfp4.py) decodes them to stacks [experts, inputs, outputs], gate and up taking turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import Floats, dense, floats
from qtquant_app.engine.packed.fp4 import VALUES
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

METHOD = "mxfp4"
GROUP = 32
_BYTES = GROUP // 2


def packed(layout: str, codes: TensorInfo, scale: TensorInfo, first: int = 0, step: int = 1) -> Packed:
    """Rows `first`, `first + step` ... of codes uint8 [rows, inputs / 2] and scales uint8 [rows, inputs / 32]."""
    words = (("label", "MXFP4"), ("first", str(first)), ("step", str(step)))
    return Packed(layout, METHOD, (("codes", codes), ("scale", scale)), 4, GROUP, type="float", words=words)


class ExpertsByRow(Layout):
    """One matrix of one expert: every `step`th row of what is stored for the expert."""

    name = "fp4-expert"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        return None  # told by `engine.experts`, which knows how many experts there are

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes, scales = packed.part("codes"), packed.part("scale")
        assert codes is not None and scales is not None
        first, step = int(packed.word("first")), int(packed.word("step"))
        top, bottom = first + start * step, first + (stop - 1) * step + 1
        rows = _rows(reader, codes, top, bottom, "packed")[::step]
        scale = floats(_rows(reader, scales, top, bottom, "scale")[::step].reshape(-1), "F8_E8M0").reshape(
            len(rows), -1
        )

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            values: Floats = VALUES[dense(rows[own], 4, columns)]
            values *= np.repeat(scale[own], GROUP, axis=1)
            return values

        return decode


class ExpertsWhole(Layout):
    """The stack [experts, inputs, outputs], whose rows run through all experts."""

    name = "fp4-experts"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        return None

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes, scales = packed.part("codes"), packed.part("scale")
        assert codes is not None and scales is not None
        inputs = scales.shape[2] * GROUP

        def decode(first: int, last: int) -> Floats:
            values = np.empty((last - first, columns), np.float32)
            at = first
            while at < last:  # a block of inputs at a time: they share their scales
                expert, place = divmod(start + at, inputs)
                block, within = divmod(place, GROUP)
                count = min(GROUP - within, last - at)
                found = _block(reader, codes, scales, expert, block)
                values[at - first : at - first + count] = found.T[within : within + count]
                at += count
            return values

        return decode


def _block(reader: RangeReader, codes: TensorInfo, scales: TensorInfo, expert: int, block: int) -> Floats:
    """[outputs, 32]: one block of every output channel of an expert."""
    _, rows, blocks = scales.shape
    own = codes.offset + expert * rows * blocks * _BYTES
    packed = reader.columns(codes.file, own, (rows, blocks * _BYTES), 1, block * _BYTES, (block + 1) * _BYTES, "packed")
    scale = reader.columns(
        scales.file, scales.offset + expert * rows * blocks, (rows, blocks), 1, block, block + 1, "scale"
    )
    values: Floats = VALUES[dense(packed, 4, GROUP)]
    values *= floats(scale.reshape(-1), "F8_E8M0")[:, None]
    return values


def _rows(
    reader: RangeReader, tensor: TensorInfo, start: int, stop: int, slot: str
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Rows of a matrix of bytes."""
    width = tensor.shape[1]
    return reader.read(tensor.file, tensor.offset + start * width, (stop - start) * width, slot).reshape(-1, width)
