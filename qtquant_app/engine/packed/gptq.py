"""GPTQ: `qweight` [in * bits / 32, out] is the dense stream of each output channel, transposed; `qzeros` that of each group.

w[:, i] = s[g] (u - z[g]) with g = g_idx[i]. Version 1 stores z - 1, version 2 (`checkpoint_format: gptq_v2`) z itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Note, Packed
from qtquant_app.engine.packed.arithmetic import WORD_BITS, Bytes, Floats, affine, block_before, dense, floats
from qtquant_app.engine.packed.groups import bits_notes, float_dtype, group_notes, group_size, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told
from qtquant_app.engine.packed.orders import group_index

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_WIDTHS = (2, 3, 4, 5, 6, 7, 8)


class Gptq(Layout):
    name = "gptq"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale, zero = module.get("qweight"), module.get("scales"), module.get("qzeros")
        if not _matrices(codes, scale) or codes is None or scale is None or codes.shape[1] != scale.shape[1]:
            return None
        (words, rows), groups = codes.shape, scale.shape[0]
        order = module.get("g_idx")
        bits = _bits(codes, scale, zero, order, told)
        if bits is None:
            return None
        columns = words * WORD_BITS // bits
        said = told.number("group_size")
        size = group_size(columns, groups, said)
        if size == 0 or (order is not None and order.shape != (columns,)):
            return None
        packed = Packed(
            layout=self.name,
            method="gptq",
            parts=module.parts(codes="qweight", scale="scales", zero="qzeros", order="g_idx"),
            bits=bits,
            group_size=size,
            symmetric=told.quantization.get("sym") is True or zero is None,
            words=(("version", "2" if told.quantization.get("checkpoint_format") == "gptq_v2" else "1"),),
            notes=(*bits_notes(bits, told.number("bits")), *group_notes(columns, size, said)),
        )
        return weight(module.name, float_dtype(scale.dtype, told.dtype), (rows, columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        rows = turned(reader, packed, "codes", start, stop).view(np.uint8)
        scale = parameters(reader, packed, start, stop)
        zero = _zeros(reader, packed, start, stop)
        index = group_index(reader, packed)

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            shift = zero if isinstance(zero, float) else zero[own]
            return affine(dense(rows[own], packed.bits, columns), scale[own], shift, packed.group_size, index)

        return decode

    def order(self, reader: RangeReader, packed: Packed) -> NDArray[np.int64] | None:
        index = group_index(reader, packed)
        return None if index is None else np.argsort(index, kind="stable")

    def examine(self, reader: RangeReader, packed: Packed, columns: int) -> Iterator[Note]:
        if group_index(reader, packed) is not None:
            yield Note("g-idx", "its g_idx takes the columns out of order, which vLLM since 0.33 refuses")
        stored = _stored_zeros(reader, packed)
        if stored is None:
            return
        version, top = packed.word("version"), (1 << packed.bits) - 1
        if version == "1" and (stored == top).any():
            count = int((stored == top).sum())
            text = f"{count} zero points are stored as {top}, as for {top + 1}: readers that add 1 to whole words corrupt them"
            yield Note("zero-wraps", text)
        middle = (1 << packed.bits - 1) - (version == "1")
        if packed.symmetric and not (stored == middle).all():
            said = "version 2" if version == "2" else "version 1"
            other = "1" if version == "2" else "2"
            hint = (
                f": they are those of version {other}"
                if (stored == middle + (1 if version == "1" else -1)).all()
                else ""
            )
            yield Note(
                "symmetric", f"config.json says symmetric and {said}, but its zero points are not {middle}{hint}"
            )


def _matrices(*tensors: TensorInfo | None) -> bool:
    return all(tensor is not None and len(tensor.shape) == 2 and all(tensor.shape) for tensor in tensors)


def _bits(
    codes: TensorInfo, scale: TensorInfo, zero: TensorInfo | None, order: TensorInfo | None, told: Told
) -> int | None:
    """The width that the shapes allow: that of the config where it does, else that of the zero points or of g_idx."""
    if codes.dtype not in ("I32", "U32"):
        return None
    (words, rows), groups = codes.shape, scale.shape[0]
    said = told.number("bits")
    for bits in dict.fromkeys((said or 4, *_WIDTHS)):
        fits = bits in _WIDTHS and words * WORD_BITS % bits == 0
        fits = fits and (zero is None or zero.shape == (groups, -(-rows * bits // WORD_BITS)))
        if fits and (order is None or order.shape == (words * WORD_BITS // bits,)):
            return bits
    return None


def turned(reader: RangeReader, packed: Packed, part: str, start: int, stop: int) -> NDArray[np.uint32]:
    """Columns `start` to `stop` of a stored matrix of words, as rows: [stop - start, rows]."""
    tensor = packed.part(part)
    assert tensor is not None
    words = reader.columns(tensor.file, tensor.offset, tensor.shape, 4, start, stop, part).view("<u4")
    return np.ascontiguousarray(words.T)


def parameters(reader: RangeReader, packed: Packed, start: int, stop: int) -> Floats:
    """Scales float32 [rows, groups] out of stored ones [groups, rows]."""
    tensor = packed.part("scale")
    assert tensor is not None
    width = tensor.nbytes // tensor.parameters
    data = reader.columns(tensor.file, tensor.offset, tensor.shape, width, start, stop, "scale")
    return np.ascontiguousarray(floats(data.reshape(-1), tensor.dtype).reshape(tensor.shape[0], stop - start).T)


def _stored_zeros(reader: RangeReader, packed: Packed) -> Bytes | None:
    """The zero points as they are stored, [groups, rows]."""
    tensor, scale = packed.part("zero"), packed.part("scale")
    if tensor is None or scale is None:
        return None
    data = reader.read(tensor.file, tensor.offset, tensor.nbytes, "zero").reshape(tensor.shape[0], -1)
    return dense(data, packed.bits, scale.shape[1])


def _zeros(reader: RangeReader, packed: Packed, start: int, stop: int) -> Floats | float:
    tensor = packed.part("zero")
    if tensor is None:
        return float(1 << packed.bits - 1)
    # Each group's is a stream along the rows: of all groups, the words that hold these rows' codes.
    bits = packed.bits
    first, skipped = block_before(start, bits)
    last = min(-(-stop * bits // WORD_BITS), tensor.shape[1])
    words = reader.columns(tensor.file, tensor.offset, tensor.shape, 4, first, last, "zero")
    stored = dense(words.reshape(tensor.shape[0], -1), bits, stop - skipped)[:, start - skipped :]
    return stored.T.astype(np.float32) + np.float32(packed.word("version") == "1")
