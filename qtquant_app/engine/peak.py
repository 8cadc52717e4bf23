"""What a run adds to the main memory of its process, from the sizes of its tensors.

A run holds, at different times: the chunks that its threads work on; the scales, zero points and row sums of the tensor at
hand, twice while they are put together; those of a tensor that is being verified, and of the one before it; a few objects for
each tensor; and the record, which is written at the end. The largest sum of what is there at once is the peak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qtquant_app.core.plan import OutFile
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.layout import Decision
from qtquant_app.formats.base import Format
from qtquant_app.quant.chunk import row_bytes

RUN = 10 << 20
"""Threads, files and what the allocator keeps back, measured; a margin of a few per cent with it."""

_ROW = 28
"""Bytes of a row's error sums: three float64 and a float32."""
_ROW_LIST = 40
"""Bytes of a float in a list, as sums are added up: the object, as Python's allocator rounds it, and its place."""
_GROWTH = 1900
"""Bytes that a run comes to hold for each source tensor: the checkpoint opened again, places, errors."""
_TASK = 900
"""Bytes for each stored tensor while the plan is hashed, or a file's header is read back, besides its names."""
_RECORD, _RECORD_STORED = 850, 160
"""Characters of the record for each source tensor and for each stored one, besides their names."""
_TILE = 2048


@dataclass(frozen=True, slots=True)
class Small:
    """What stays of one tensor besides its codes: bytes of scales, of zero points as numbers and as stored, and its rows."""

    scale: int
    zero: int
    stored_zero: int
    rows: int

    @property
    def kept(self) -> int:
        """What its chunks leave behind."""
        return self.scale + self.zero + _ROW * self.rows

    @property
    def gathered(self) -> int:
        """The peak as its chunks are put together and encoded."""
        sums = (_ROW + _ROW_LIST) * self.rows
        return self.kept + self.scale + self.zero + max(sums, self.zero + 2 * self.stored_zero)

    def verified(self, whole: bool) -> int:
        """The peak as it is read back and its errors are summed, of all rows or of a chunk."""
        sums = (2 * _ROW + _ROW_LIST) * self.rows if whole else 0
        return self.scale + max(2 * self.stored_zero + 2 * self.zero, self.zero + sums)


def small_of(decision: Decision, format: Format) -> Small:
    """What stays of a tensor that is quantized."""
    tensor, scheme = decision.tensor, decision.scheme
    assert scheme is not None
    stored = {part.role: part.nbytes for part in format.stored(tensor, scheme)}
    groups = 1 if scheme.strategy == "tensor" else tensor.shape[0] * scheme.groups(tensor.shape[1])
    zero = 0 if scheme.symmetric else groups
    return Small(stored["scale"], zero, stored.get("zero", 0), tensor.shape[0])


def parameters_peak(decisions: Iterable[Decision], format: Format, verify: str) -> int:
    """The most that scales, zero points and row sums take at once."""
    left = before = quantizing = verifying = 0
    for decision in decisions:
        if decision.scheme is None:
            continue
        small = small_of(decision, format)
        quantizing = max(quantizing, small.gathered)
        verifying = max(verifying, small.verified(verify == "full") + before)
        before, left = small.scale + small.zero, max(left, small.kept)
    # About half of what the threads allocated in pieces stays with the allocator as verification asks for whole arrays.
    return max(quantizing, 0 if verify == "none" else verifying + left // 2) * 33 // 32


def threads_peak(
    decisions: Iterable[Decision], format: Format, threads: int, rows_of: Callable[[int], int], kept: int, verify: str
) -> int:
    """The most that `threads` take for chunks: `rows_of` a row's bytes of what is quantized, `kept` bytes of the rest."""
    source, made, read = Counter[int](), Counter[int](), Counter[int]()
    scratch = pieces = 0
    for tensor, scheme in ((d.tensor, d.scheme) for d in decisions):
        if scheme is None:
            chunk, count = min(kept, tensor.nbytes), -(-tensor.nbytes // kept)
            source[chunk] += count
            read[chunk] += count
            continue
        row, columns = tensor.nbytes // tensor.shape[0], tensor.shape[1]
        rows = min(rows_of(row), tensor.shape[0])
        count = -(-tensor.shape[0] // rows)
        packed = row_bytes(columns, scheme.bits, format.align)
        codes = next(part.nbytes for part in format.stored(tensor, scheme) if part.role == "codes") // tensor.shape[0]
        copies = (scheme.activations == "int8") + (codes != packed)
        source[rows * row] += count
        made[rows * (packed + copies * codes)] += count
        read[rows * (codes + packed * (scheme.activations == "int8"))] += count
        scratch = max(scratch, _scratch(scheme, columns))
        groups = 1 if scheme.strategy == "tensor" else scheme.groups(columns)
        pieces = max(pieces, rows * (groups * (row // columns + 1) + _ROW))
    buffers = _largest(source, threads) + _largest(made, threads) + (_largest(read, threads) if verify != "none" else 0)
    return buffers + threads * scratch + 2 * min(threads, source.total()) * pieces


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
