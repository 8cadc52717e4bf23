"""MLX: `weight` uint32 is the dense stream of each row, w = scale u + bias with a float bias for each group of columns.

Bits and group size come from config.json, for all or for one module; the loader infers the bits from the shapes, and so do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.packed.arithmetic import WORD_BITS, Floats, affine, dense, spread
from qtquant_app.engine.packed.compressed_tensors import rows_of, scales_of
from qtquant_app.engine.packed.groups import bits_notes, float_dtype, group_notes, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told, number

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_BITS = (4, 8, 3, 6, 2, 5)
_SIZES = (64, 32, 128, 16)


class Mlx(Layout):
    name = "mlx"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale, bias = module.get("weight"), module.get("scales"), module.get("biases")
        if codes is None or scale is None or bias is None or codes.dtype != "U32" or bias.shape != scale.shape:
            return None
        if (
            len(codes.shape) not in (2, 3)
            or codes.shape[:-1] != scale.shape[:-1]
            or not all((*codes.shape, *scale.shape))
        ):
            return None
        said = said_of(module.name, told)
        way = _way(codes.shape[-1], scale.shape[-1], number(said, "bits"), number(said, "group_size"))
        if way is None:
            return None
        bits, size = way
        columns = scale.shape[-1] * size
        packed = Packed(
            layout=self.name,
            method="mlx",
            parts=module.parts(codes="weight", scale="scales", bias="biases"),
            bits=bits,
            group_size=size,
            symmetric=False,
            notes=(
                *bits_notes(bits, number(said, "bits")),
                *group_notes(columns, size, number(said, "group_size")),
            ),
        )
        return weight(module.name, float_dtype(scale.dtype, told.dtype), (*codes.shape[:-1], columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes = packed.part("codes")
        assert codes is not None
        rows = rows_of(reader, codes, start, stop)
        scale, bias = scales_of(reader, packed, start, stop), scales_of(reader, packed, start, stop, "bias")

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            values = affine(dense(rows[own], packed.bits, columns), scale[own], 0.0, packed.group_size)
            values += spread(bias[own], packed.group_size, columns)
            return values

        return decode


def said_of(module: str, told: Told) -> Mapping[str, Any]:
    """What the config says of a module: its own entry over the one for all."""
    own = told.quantization.get(module)
    return {**told.quantization, **own} if isinstance(own, Mapping) else told.quantization


def _way(words: int, groups: int, bits: int | None, size: int | None) -> tuple[int, int] | None:
    """(bits, group size) that make `words` of `groups`: as the config says, or with one of the two as it says, or any."""
    known_bits, known_sizes = [bits] if bits in _BITS else [], [size] if size in _SIZES else []
    for some, others in ((known_bits, known_sizes), (known_bits, _SIZES), (_BITS, known_sizes), (_BITS, _SIZES)):
        for b in some:
            for g in others:
                if groups * g * b == words * WORD_BITS:
                    return b, g
    return None
