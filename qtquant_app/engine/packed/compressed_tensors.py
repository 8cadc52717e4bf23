"""compressed-tensors: integers packed into 32-bit words (`pack-quantized`), and those stored a byte each (`int-quantized`).

Since 0.18 the words of a row are a dense bit stream; before, a word of 3, 5, 6 or 7 bits held whole codes alone. Both are told
by their width. w = s (q - z), rounded once in the dtype of the scale (compressed_tensors/compressors).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import UsageError
from qtquant_app.core.packed import Note, Packed
from qtquant_app.core.patterns import matches
from qtquant_app.engine.packed.arithmetic import WORD_BITS, Floats, affine, block_before, dense, floats, padded
from qtquant_app.engine.packed.groups import bits_notes, float_dtype, group_notes, group_size, weight
from qtquant_app.engine.packed.layout import Decode, Layout
from qtquant_app.engine.packed.modules import Module, Told, names, number
from qtquant_app.engine.packed.orders import group_index

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

METHOD = "compressed-tensors"
_PADDED = (3, 5, 6, 7)
LEGACY = Note(
    "legacy-layout",
    "its codes are padded to whole words, as compressed-tensors wrote them before 0.18: readers since then refuse the file or "
    "take it for other numbers",
)


def group_of(told: Told, module: str) -> Mapping[str, Any]:
    """The `weights` of the config group that a module falls into: an exact name before an expression before a class."""
    groups = told.quantization.get("config_groups")
    listed = [group for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []
    best: tuple[int, Mapping[str, Any]] = (3, {})
    for group in listed:
        weights = group.get("weights")
        rank = min((_rank(target, module) for target in names(group, "targets")), default=3)
        if rank < best[0] and isinstance(weights, Mapping):
            best = rank, weights
    return best[1]


def _rank(target: str, module: str) -> int:
    if target == module:
        return 0
    if target.startswith("re:"):
        return 1 if names_it(target, module) else 3
    return 2 if "." not in target and target[:1].isupper() else 3


def ignored(told: Told, module: str) -> bool:
    """Whether the config's ignore list names a module."""
    return any(
        target == module or (target.startswith("re:") and names_it(target, module)) for target in told.names("ignore")
    )


@lru_cache(maxsize=1 << 16)
def names_it(pattern: str, module: str) -> bool:
    """Whether an expression of a foreign config names a module; one that is none, or that could hang, names nothing."""
    try:
        return matches(pattern, module)
    except UsageError:
        return False


class PackQuantized(Layout):
    name = "pack-quantized"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale = module.get("weight_packed"), module.get("weight_scale")
        if codes is None or scale is None or codes.dtype != "I32" or len(codes.shape) != 2:
            return None
        said = group_of(told, module.name)
        rows, width = codes.shape
        shape = told.shapes.get(module.name) or (rows, width * WORD_BITS // (number(said, "num_bits") or 4))
        way = _way(width, shape[1], number(said, "num_bits"))
        groups = groups_in(scale, rows)
        if way is None or groups is None or shape[0] != rows or not all(shape):
            return None
        bits, legacy = way
        size = group_size(shape[1], groups, number(said, "group_size"))
        zero = module.get("weight_zero_point")
        if size == 0 or not _zero_fits(zero, scale, rows, *way):
            return None
        packed = Packed(
            layout=self.name,
            method=METHOD,
            parts=module.parts(
                codes="weight_packed",
                scale="weight_scale",
                zero="weight_zero_point",
                shape="weight_shape",
                order="weight_g_idx",
                input="input_scale",
                input_zero="input_zero_point",
            ),
            bits=bits,
            group_size=size,
            symmetric=zero is None,
            legacy=legacy,
            notes=(*_notes(said, bits, shape[1], size, zero), *((LEGACY,) if legacy else ())),
        )
        return weight(module.name, float_dtype(scale.dtype, told.dtype), shape, packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        codes, bits = _part(packed, "codes"), packed.bits
        rows = rows_of(reader, codes, start, stop)
        scale = scales_of(reader, packed, start, stop)
        zero = _zeros(reader, packed, scale, start, stop)
        index = group_index(reader, packed)
        unpack = padded if packed.legacy else dense

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            shift = zero if isinstance(zero, float) else zero[own]
            return affine(unpack(rows[own], bits, columns), scale[own], shift, packed.group_size, index)

        return decode

    def order(self, reader: RangeReader, packed: Packed) -> NDArray[np.int64] | None:
        index = group_index(reader, packed)
        return None if index is None else np.argsort(index, kind="stable")

    def examine(self, reader: RangeReader, packed: Packed, columns: int) -> Iterator[Note]:
        if packed.part("order") is not None:
            yield Note(
                "g-idx",
                "it has a weight_g_idx, the columns' groups out of order: compressed-tensors since 0.19 and vLLM refuse it",
            )


class IntQuantized(Layout):
    name = "int-quantized"

    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        codes, scale = module.get("weight"), module.get("weight_scale")
        if codes is None or scale is None or codes.dtype != "I8" or len(codes.shape) != 2 or not all(codes.shape):
            return None
        said, (rows, columns) = group_of(told, module.name), codes.shape
        groups = groups_in(scale, rows)
        size = 0 if groups is None else group_size(columns, groups, number(said, "group_size"))
        zero = module.get("weight_zero_point")
        if size == 0 or (zero is not None and (zero.dtype != "I8" or zero.parameters != scale.parameters)):
            return None
        packed = Packed(
            layout=self.name,
            method=METHOD,
            parts=module.parts(
                codes="weight",
                scale="weight_scale",
                zero="weight_zero_point",
                input="input_scale",
                input_zero="input_zero_point",
            ),
            bits=8,
            group_size=size,
            symmetric=zero is None,
            notes=_notes(said, number(said, "num_bits") or 8, columns, size, zero),
        )
        return weight(module.name, float_dtype(scale.dtype, told.dtype), (rows, columns), packed)

    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        rows = rows_of(reader, _part(packed, "codes"), start, stop).view(np.int8)
        scale = scales_of(reader, packed, start, stop)
        zero = 0.0 if packed.part("zero") is None else scales_of(reader, packed, start, stop, "zero")

        def decode(first: int, last: int) -> Floats:
            own = slice(first, last)
            return affine(rows[own], scale[own], zero if isinstance(zero, float) else zero[own], packed.group_size)

        return decode


def _part(packed: Packed, name: str) -> TensorInfo:
    found = packed.part(name)
    assert found is not None
    return found


def _way(width: int, columns: int, said: int | None) -> tuple[int, bool] | None:
    """(bits, whether padded) of a row of `width` words: the config's bits first, else what fits."""
    if columns <= 0:
        return None
    for bits in dict.fromkeys((said or 0, 4, 8, 3, 2, 6, 5, 7, 1)):
        if 1 <= bits <= 8:
            if width == -(-columns * bits // WORD_BITS):
                return bits, False
            if bits in _PADDED and width == -(-columns // (WORD_BITS // bits)):
                return bits, True
    return None


def groups_in(scale: TensorInfo, rows: int) -> int | None:
    """How many scales a row has; None where the shape is none of scales for `rows` rows."""
    if scale.parameters == 1:
        return 1
    if scale.shape == (rows,):
        return 1
    return scale.shape[1] if len(scale.shape) == 2 and scale.shape[0] == rows and scale.shape[1] else None


def _zero_fits(zero: TensorInfo | None, scale: TensorInfo, rows: int, bits: int, legacy: bool) -> bool:
    if zero is None:
        return True
    if zero.dtype == "I8":
        return zero.parameters == scale.parameters
    groups = groups_in(scale, rows)
    words = -(-rows // (WORD_BITS // bits)) if legacy else -(-rows * bits // WORD_BITS)
    return zero.dtype == "I32" and zero.shape == (words, groups)


def _notes(
    said: Mapping[str, Any], bits: int, columns: int, size: int | None, zero: TensorInfo | None
) -> tuple[Note, ...]:
    notes = [*bits_notes(bits, number(said, "num_bits"))]
    wanted = number(said, "group_size")
    if said.get("strategy") in ("channel", "tensor") and wanted is None:
        wanted = -1
    notes += group_notes(columns, size, wanted)
    symmetric = said.get("symmetric")
    if isinstance(symmetric, bool) and symmetric != (zero is None):
        has = "no zero points" if zero is None else "zero points"
        notes.append(Note("symmetric", f"config.json says {'' if symmetric else 'a'}symmetric, but it has {has}"))
    return tuple(notes)


def rows_of(reader: RangeReader, tensor: TensorInfo, start: int, stop: int, slot: str = "packed") -> NDArray[np.uint8]:
    """The bytes of rows `start` to `stop` of a stored matrix, [rows, row bytes], in this thread's buffer."""
    row = row_bytes(tensor)
    data = reader.read(tensor.file, tensor.offset + start * row, (stop - start) * row, slot)
    return data.reshape(stop - start, row)


def row_bytes(tensor: TensorInfo) -> int:
    """Bytes of the last dimension; a stack is taken as all rows of all of its slices."""
    return tensor.nbytes * tensor.shape[-1] // tensor.parameters


def scales_of(reader: RangeReader, packed: Packed, start: int, stop: int, part: str = "scale") -> Floats:
    """Scales float32 [rows, groups] of rows `start` to `stop`, one for all of a weight given to each row."""
    tensor = _part(packed, part)
    if tensor.parameters == 1:
        one = floats(reader.read(tensor.file, tensor.offset, tensor.nbytes, part), tensor.dtype)
        return np.broadcast_to(one.reshape(1, 1), (stop - start, 1))
    row = tensor.nbytes // tensor.shape[0] if len(tensor.shape) < 3 else row_bytes(tensor)
    data = reader.read(tensor.file, tensor.offset + start * row, (stop - start) * row, part)
    return floats(data, tensor.dtype).reshape(stop - start, -1)


def _zeros(reader: RangeReader, packed: Packed, scale: Floats, start: int, stop: int) -> Floats | float:
    tensor, middle = packed.part("zero"), float(1 << (packed.bits - 1))
    if tensor is None:
        return middle
    if tensor.dtype == "I8":
        return scales_of(reader, packed, start, stop, "zero") + np.float32(middle)
    # Packed down the rows: read from a word that begins with a whole code.
    groups, bits = tensor.shape[1], packed.bits
    each = WORD_BITS // bits
    first, skipped = (start // each, start // each * each) if packed.legacy else block_before(start, bits)
    last = min(-(-stop // each) if packed.legacy else -(-stop * bits // WORD_BITS), tensor.shape[0])
    data = reader.read(tensor.file, tensor.offset + first * groups * 4, (last - first) * groups * 4, "zero")
    columns = np.ascontiguousarray(data.view("<u4").reshape(last - first, groups).T).view(np.uint8)
    found = (padded if packed.legacy else dense)(columns, bits, stop - skipped)
    return found[:, start - skipped :].T.astype(np.float32)
