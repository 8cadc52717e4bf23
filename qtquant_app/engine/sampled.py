"""A few rows of each tensor in place of all of it: what a budget measures of a model whose weights are not here.

A budget asks for ||e||^2 / ||w||^2 alone, which some thousands of weights tell well enough where rows are alike. Rows are taken
from the middle of a tensor; where one alone is long, its first columns, so that the whole sample stays within `BYTES`.
"""

from __future__ import annotations

from dataclasses import replace

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo

BYTES = 4_000_000
"""Of the sample of a whole checkpoint, unless it has very many tensors."""
_LEAST, _MOST = 4096, 1 << 18
"""Bytes of the sample of one tensor."""
_STEP = 1024
"""Columns are a multiple of this: whole groups under every scheme."""


def sampled(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the tensors that a run can quantize cut down to a sample of each, and without any others."""
    wanted = checkpoint.quantizable
    each = min(_MOST, max(_LEAST, BYTES // max(1, len(wanted))))
    return replace(checkpoint, tensors=tuple(_cut(tensor, each) for tensor in wanted), stacks=())


def _cut(tensor: TensorInfo, most: int) -> TensorInfo:
    """About `most` bytes of a matrix [rows, columns]."""
    rows, columns = tensor.shape
    row = tensor.nbytes // rows
    taken = min(rows, max(1, most // row))
    start = (rows - taken) // 2
    plain = tensor.packed is None and tensor.part is None  # others are read row by row
    if row > 2 * most and plain:
        width = row // columns
        columns = max(_STEP, most // width // _STEP * _STEP)
        nbytes = columns * width
    else:
        nbytes = taken * row
    return replace(tensor, shape=(taken, columns), offset=tensor.offset + start * row, nbytes=nbytes)
