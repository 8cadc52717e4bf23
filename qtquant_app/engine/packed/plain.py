"""The plain format of QtQuant itself: bytes of 2, 4 or 8-bit codes, zero points a byte each; the last group may be shorter. Or FP8,
whose scales may be those of square blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import QUANTIZABLE
from qtquant_app.core.packed import Note, Packed
from qtquant_app.engine.packed.arithmetic import Floats, affine, dense
from qtquant_app.engine.packed.compressed_tensors import groups_in, rows_of, scales_of
from qtquant_app.engine.packed.groups import bits_notes, group_notes, group_size, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told, number
from qtquant_app.engine.packed.scaled import block_of, load_scaled

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_WIDTHS = (4, 8, 2)


class Plain(Layout):
    name = "qtquant"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale = module.get("weight_packed"), module.get("weight_scale")
        if codes is None or scale is None or codes.dtype != "U8" or scale.dtype not in QUANTIZABLE:
            return None
        if len(codes.shape) != 2 or not all(codes.shape):
            return None
        rows, width = codes.shape
        said = scheme_of(module.name, told)
        if said.get("type") == "float":
            return self._floats(module, said, codes, scale)
        groups, zero = groups_in(scale, rows), module.get("weight_zero_point")
        way = _way(width, told.shapes.get(module.name), number(said, "bits"))
        if groups is None or way is None or (zero is not None and (zero.dtype, zero.shape) != ("U8", scale.shape)):
            return None
        bits, columns = way
        size = group_size(columns, groups, number(said, "group_size"))
        if size == 0:
            return None
        symmetric = said.get("symmetric")
        notes = [*bits_notes(bits, number(said, "bits")), *group_notes(columns, size, number(said, "group_size"))]
        if isinstance(symmetric, bool) and symmetric != (zero is None):
            notes.append(Note("symmetric", "config.json says otherwise of its zero points than the files"))
        if not said:
            notes.append(Note("not-listed", "config.json does not list it among the quantized modules"))
        packed = Packed(
            layout=self.name,
            method="qtquant",
            parts=module.parts(codes="weight_packed", scale="weight_scale", zero="weight_zero_point"),
            bits=bits,
            group_size=size,
            symmetric=zero is None,
            notes=tuple(notes),
        )
        return weight(module.name, scale.dtype, (rows, columns), packed)

    def _floats(
        self, module: Module, said: Mapping[str, Any], codes: TensorInfo, scale: TensorInfo
    ) -> TensorInfo | None:
        """FP8: the shape of the codes is that of the weight."""
        rows, columns = codes.shape
        block = block_of(scale, rows, columns)
        if block is None or number(said, "bits") != 8:
            return None
        high, wide = block
        packed = Packed(
            layout=self.name,
            method="qtquant",
            parts=module.parts(codes="weight_packed", scale="weight_scale"),
            bits=8,
            group_size=None if wide == columns else wide,
            type="float",
            block_rows=high,
        )
        return weight(module.name, scale.dtype, (rows, columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        if packed.type == "float":
            return load_scaled(reader, packed, "F8_E4M3", columns, start, stop)
        codes = packed.part("codes")
        assert codes is not None
        rows, scale = rows_of(reader, codes, start, stop), scales_of(reader, packed, start, stop)
        middle = float(1 << packed.bits - 1)
        zero = middle if packed.part("zero") is None else scales_of(reader, packed, start, stop, "zero")

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            shift = zero if isinstance(zero, float) else zero[own]
            return affine(dense(rows[own], packed.bits, columns), scale[own], shift, packed.group_size)

        return decode


def scheme_of(module: str, told: Told) -> Mapping[str, Any]:
    """The scheme that the config gives a module; empty where it gives none."""
    modules, schemes = told.quantization.get("modules"), told.quantization.get("schemes")
    at = number(modules, module) if isinstance(modules, Mapping) else None
    listed = isinstance(schemes, list) and at is not None and 0 <= at < len(schemes)
    found = schemes[at] if listed and isinstance(schemes, list) and at is not None else None
    return found if isinstance(found, Mapping) else {}


def _way(width: int, shape: tuple[int, int] | None, said: int | None) -> tuple[int, int] | None:
    """(bits, columns) of rows of `width` bytes: the record's shape, else the config's bits, tell."""
    if shape is None:
        return (said, width * 8 // said) if said in _WIDTHS and said is not None else None
    for bits in (said, *_WIDTHS):
        if bits in _WIDTHS and bits is not None and width == -(-shape[1] * bits // 8) and shape[1]:
            return bits, shape[1]
    return None
