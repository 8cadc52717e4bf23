"""FP4: two E2M1 numbers a byte, the even column in the low half, times the scale of 16 (NVFP4) or 32 columns (MXFP4).

NVFP4 scales are E4M3 under one float32 for the whole weight: compressed-tensors divides by it, ModelOpt multiplies. MXFP4 scales
are powers of two (E8M0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import Floats, dense, floats, spread
from qtquant_app.engine.packed.compressed_tensors import METHOD, group_of, row_bytes, rows_of
from qtquant_app.engine.packed.groups import bits_notes, group_notes, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told, number

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_SIZES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
VALUES = np.concatenate([_SIZES, -_SIZES])
"""What each of the sixteen codes stands for; bit 3 is the sign."""

_GROUPS = {"F8_E4M3": 16, "U8": 32, "F8_E8M0": 32}


class Fp4(Layout):
    name = "fp4"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        leaf = "weight_packed" if module.get("weight_packed") is not None else "weight"
        codes, scale = module.get(leaf), module.get("weight_scale")
        if codes is None or scale is None or codes.dtype != "U8" or scale.dtype not in _GROUPS:
            return None
        divides, times = module.get("weight_global_scale"), module.get("weight_scale_2")
        size, shape = _GROUPS[scale.dtype], codes.shape[:-1]
        columns = 2 * codes.shape[-1] if codes.shape else 0
        if len(codes.shape) != 2 or not all(codes.shape) or scale.shape != (*shape, -(-columns // size)):
            return None
        if any(one is not None and (one.dtype, one.parameters) != ("F32", 1) for one in (divides, times)):
            return None
        said = group_of(told, module.name)
        packed = Packed(
            layout=self.name,
            method=told.method or METHOD,
            parts=module.parts(
                codes=leaf,
                scale="weight_scale",
                divisor="weight_global_scale",
                factor="weight_scale_2",
                shape="weight_shape",
                input="input_scale",
                input_global="input_global_scale",
            ),
            bits=4,
            group_size=size,
            type="float",
            words=(("label", "NVFP4" if size == 16 else "MXFP4"),),
            notes=(
                *bits_notes(4, number(said, "num_bits")),
                *group_notes(columns, size, number(said, "group_size")),
            ),
        )
        return weight(module.name, told.dtype, (*shape, columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes, scales = packed.part("codes"), packed.part("scale")
        assert codes is not None and scales is not None
        rows = rows_of(reader, codes, start, stop)
        row = row_bytes(scales)
        data = reader.read(scales.file, scales.offset + start * row, (stop - start) * row, "scale")
        scale = floats(data, "F8_E8M0" if scales.dtype == "U8" else scales.dtype).reshape(stop - start, -1)
        for part in ("divisor", "factor"):
            one = packed.part(part)
            if one is not None:
                value = floats(reader.read(one.file, one.offset, one.nbytes, part), one.dtype)
                with np.errstate(divide="ignore", invalid="ignore"):
                    scale = scale / value if part == "divisor" else scale * value

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            values: Floats = VALUES[dense(rows[own], 4, columns)]
            values *= spread(scale[own], packed.group_size, columns)
            return values

        return decode
