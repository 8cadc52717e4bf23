"""What a run adds to the main memory of its process, from the sizes of its tensors.

A run holds, at different times: the chunks that its threads work on; scales and zero points that wait to be written; a few
objects for each tensor; and the record, which is written at the end. The largest sum of what is there at once is the peak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, QUANTIZABLE
from qtquant_app.core.layouts import base
from qtquant_app.core.plan import OutFile
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.layout import Decision, alike
from qtquant_app.engine.strips import STRIP_BYTES
from qtquant_app.formats.base import Format
from qtquant_app.quant.chunk import row_bytes
from qtquant_app.quant.floats import is_float

if TYPE_CHECKING:
    from qtquant_app.engine.cost import Cut

RUN = 10 << 20
"""Threads, files and what the allocator keeps back, measured; a margin of a few per cent with it."""

_ROW = 28
"""Bytes of a row's error sums: three float64 and a float32."""
_SUMS = 3 << 20
"""Of the exact sums over a tensor, and what adding a chunk's rows takes for a moment."""
HELD_BYTES = 4 << 20
"""Scales and zero points wait until there are so many, or the tensor ends."""
_GROWTH = 1900
"""Bytes that a run comes to hold for each source tensor: the checkpoint opened again, places, errors."""
_TASK = 900
"""Bytes for each stored tensor while the plan is hashed, or a file's header is read back, besides its names."""
_RECORD, _RECORD_STORED = 850, 160
"""Characters of the record for each source tensor and for each stored one, besides their names."""
_TILE = 2048


def parameters_peak(decisions: Iterable[Decision], format: Format, cut: Cut) -> int:
    """The most that scales, zero points and sums take while they are put together to be written."""
    return max((_gathered(d, format, cut) for d in decisions if d.scheme is not None), default=0) + _SUMS


def _gathered(decision: Decision, format: Format, cut: Cut) -> int:
    """Parts of at least HELD_BYTES are put together from pieces, encoded and written."""
    tensor, scheme = decision.tensor, decision.scheme
    assert scheme is not None
    scale, zero = _row_parameters(decision, format)
    rows = cut.rows(tensor.nbytes // tensor.shape[0], format.row_step(scheme))
    whole = HELD_BYTES // max(1, scale + zero) + rows + format.rows_together(scheme)
    return min(tensor.shape[0], whole) * ((2 + _turned(tensor, scheme, format)) * scale + 6 * zero)


def _turned(tensor: TensorInfo, scheme: Scheme, format: Format) -> bool:
    """Whether the format makes an array of its own of the parameters: it turns them, or computes one of them."""
    return any(part.axis or (part.role == "zero" and scheme.symmetric) for part in format.stored(tensor, scheme))


def _row_parameters(decision: Decision, format: Format) -> tuple[int, int]:
    """Bytes of the scales of a row, float offsets included, and of its zero points as numbers."""
    tensor, scheme = decision.tensor, decision.scheme
    assert scheme is not None
    if scheme.layout is not None:
        return 0, 0
    groups = 1 if scheme.strategy == "tensor" else scheme.groups(tensor.shape[1])
    if is_float(scheme):
        item = 1 if scheme.bits == 4 else ITEM_BITS[tensor.dtype] // 8
        return max(1, groups * item // scheme.row_block), 0
    floats = groups * (ITEM_BITS[tensor.dtype] // 8) * (1 + (scheme.offset == "float"))
    stored = format.stored(tensor, scheme)
    integers = any(part.role == "zero" and part.dtype not in QUANTIZABLE for part in stored)
    return floats, groups if integers else 0


def threads_peak(decisions: Iterable[Decision], format: Format, cut: Cut, verify: str) -> int:
    """The most that threads take for their chunks: those of the reader and of the kernels, and what is made of them."""
    source, made, read = Counter[int](), Counter[int](), Counter[int]()
    scratch = pieces = strip = 0
    for decision, many in alike(decisions):
        tensor, scheme = decision.tensor, decision.scheme
        if scheme is None:
            chunk, count = min(cut.kept, tensor.nbytes), many * -(-tensor.nbytes // cut.kept)
            source[chunk] += count
            read[chunk] += count
            continue
        row, columns = tensor.nbytes // tensor.shape[0], tensor.shape[1]
        rows = min(cut.rows(row, format.row_step(scheme)), tensor.shape[0])
        count = many * -(-tensor.shape[0] // rows)
        packed = packed_row(columns, scheme, format)
        stored = next(part for part in format.stored(tensor, scheme) if part.role == "codes")
        codes = stored.nbytes // tensor.shape[0]
        turned = stored.axis == 1
        if turned:
            strip = max(strip, min(stored.nbytes, STRIP_BYTES))
        copies = (scheme.activations == "int8") + (codes != packed or turned)
        scale, zero = _row_parameters(decision, format)
        source[rows * row] += count
        made[rows * (packed + copies * codes)] += count
        together = rows + 2 * format.rows_together(scheme)
        decoded = packed if turned or scheme.activations == "int8" else 0
        read[rows * (codes + decoded + (1 + turned) * scale) + 5 * together * zero] += count
        scratch = max(scratch, _scratch(scheme, columns))
        pieces = max(pieces, rows * (scale + zero + _ROW))
    threads, strips = (
        cut.threads,
        3 if verify == "none" else 4,
    )  # measured: one is written, one filled, and what is freed late
    buffers = _largest(source, threads) + _largest(made, threads) + (_largest(read, threads) if verify != "none" else 0)
    return buffers + threads * scratch + 2 * min(threads, source.total()) * pieces + strips * strip


def packed_row(columns: int, scheme: Scheme, format: Format) -> int:
    """Bytes of a row of codes as a kernel gives it."""
    if scheme.layout is not None:
        return base(scheme.layout).row_bytes(columns)
    return row_bytes(columns, scheme.bits, format.align)


def _largest(chunks: Counter[int], threads: int) -> int:
    """Bytes of the largest chunks, one for each thread: a thread keeps the buffer of the largest that it had."""
    total = 0
    for size in sorted(chunks, reverse=True):
        taken = min(threads, chunks[size])
        total, threads = total + taken * size, threads - taken
    return total


def _scratch(scheme: Scheme, columns: int) -> int:
    """Working memory of a kernel: weights, restored weights and codes of a tile, and a group's again to search."""
    if scheme.strategy == "tensor":
        return 9 * _TILE + 4 * columns
    if is_float(scheme) and scheme.strategy != "channel":
        searched = 0 if scheme.method == "rtn" else 4 * (scheme.group_size or 0)
        return searched + 15 * _TILE + (4 * columns if scheme.strategy == "block" else 0)
    lifted = 0 if scheme.method == "rtn" else 4 * min(columns, scheme.group_size or columns)
    return lifted + (9 * columns if scheme.strategy == "channel" else 9 * _TILE)


def listing_peaks(tensors: int, files: Sequence[OutFile], verify: str) -> tuple[int, int]:
    """What lists of tensors take: (at its worst while the plan is hashed, at its worst later on)."""
    stored = sum(len(file.tensors) for file in files)
    names = sum(len(t.name) + len(t.source) for file in files for t in file.tensors)
    largest = max((len(file.tensors) for file in files), default=0) if verify != "none" else 0
    growth = _GROWTH * tensors
    record = _RECORD * tensors + _RECORD_STORED * stored + 2 * names
    return _TASK * stored + 2 * names, growth + max(record, _TASK * largest)
