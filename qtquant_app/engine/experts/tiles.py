"""Reads rows of a matrix that lies turned, or between the rows of another, in a stack: a block at a time, never the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from qtquant_app.core.dtypes import ITEM_BITS
from qtquant_app.core.stacks import Part

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

_BLOCK = 1 << 20
"""Bytes read at once."""
_WASTE = 4
"""Whole stored rows are read where no more than so many times of what is wanted of them: one read is quicker than thousands."""


def read_rows(reader: RangeReader, part: Part, start: int, stop: int, out: NDArray[Any]) -> None:
    """Rows `start` to `stop` of the matrix into `out`, [stop - start, columns] of unsigned integers as wide as its numbers."""
    stack = part.stack
    step = len(stack.leaves) if stack.interleaved else 1
    first = part.at if stack.interleaved else part.at * stack.shape[0]
    begin, end = first + start * step, first + (stop - 1) * step + 1
    offset = stack.tensor.offset + part.expert * stack.slice_bytes
    if stack.transposed:
        _turned(reader, part, offset, (begin, end, step), out)
    else:
        _between(reader, part, offset, (begin, end, step), out)


def _turned(reader: RangeReader, part: Part, offset: int, lines: tuple[int, int, int], out: NDArray[Any]) -> None:
    """Stored rows are the matrix's columns: a stretch of each is wanted, `lines` of it."""
    begin, end, step = lines
    tensor = part.stack.tensor
    _, height, width = tensor.shape
    item = ITEM_BITS[tensor.dtype] // 8
    whole = width <= _WASTE * (end - begin)
    left, right = (0, width) if whole else (begin, end)
    count = max(1, _BLOCK // ((right - left) * item))
    for top in range(0, height, count):
        rows = min(count, height - top)
        data = reader.columns(tensor.file, offset + top * width * item, (rows, width), item, left, right, "stack").view(
            out.dtype
        )
        out[:, top : top + rows] = data[:, begin - left : end - left : step].T


def _between(reader: RangeReader, part: Part, offset: int, lines: tuple[int, int, int], out: NDArray[Any]) -> None:
    """Stored rows are the matrix's own, with those of others between them."""
    begin, end, step = lines
    tensor, columns = part.stack.tensor, out.shape[1]
    row = columns * (ITEM_BITS[tensor.dtype] // 8)
    count = max(1, _BLOCK // (row * step))
    for at in range(0, len(out), count):
        first = begin + at * step
        last = min(first + count * step, end)
        data = reader.read(tensor.file, offset + first * row, (last - first) * row, "stack")
        out[at : at + count] = data.view(out.dtype).reshape(last - first, columns)[::step]
