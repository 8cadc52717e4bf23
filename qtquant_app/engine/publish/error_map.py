"""Where the error of one tensor lies, taken from the files as they are written."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.plan import Plan
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.picture import magnitudes_png
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.reader import RangeReader
from qtquant_app.engine.tools import open_tools
from qtquant_app.engine.written import read_rows
from qtquant_app.formats import find
from qtquant_app.quant.chunk import as_float32

CELLS = 256
"""Of a side, at most."""


def written_error_map(plan: Plan, folder: Path, checkpoint: Checkpoint, name: str) -> Generator[Event, None, bytes]:
    """A PNG of |w - dequantized(w)| of the tensor `name` in `folder`: rows down, columns across, each cell the largest of its part.

    A few chunks of rows are in memory at a time. Raises VerifyError where the files make no sense, SourceError where the base
    cannot be read.
    """
    planned = next(tensor for tensor in plan.tensors if tensor.name == name)
    tensor, places, scheme = checkpoint.by_name[name], by_source(plan.files)[name], planned.scheme
    assert scheme is not None
    rows, columns = tensor.shape
    down, across = -(-rows // CELLS), -(-columns // CELLS)
    cells = np.zeros((-(-rows // down), -(-columns // across)), np.float32)
    with open_tools(checkpoint, find(plan.format), "cpu") as tools, RangeReader(folder) as written:

        def errors(start: int, stop: int) -> tuple[int, NDArray[np.float32]]:
            chunk = read_rows(tools, written, tensor, planned, places, start, stop)
            restored = tools.backend.dequantize(chunk, tensor.dtype, scheme, columns)
            source = as_float32(tools.reader.rows(tensor, start, stop), tensor.dtype)
            return start, np.maximum.reduceat(np.abs(source - restored), np.arange(0, columns, across), axis=1)

        spans = tools.spans(tensor, scheme)
        for start, part in ordered(tools.pool, tools.window, (partial(errors, *span) for span in spans)):
            np.maximum.at(cells, np.arange(start, start + len(part)) // down, part)
            yield ChunkDone(name, tensor.nbytes // rows * len(part))
    return magnitudes_png(cells, CELLS)
