"""Columns whose groups are out of order: what `g_idx` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.errors import SourceError
from qtquant_app.core.packed import Packed

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader


def group_index(reader: RangeReader, packed: Packed) -> NDArray[np.int64] | None:
    """The group of each column, [columns], where the file stores it and it is not their order.

    Raises SourceError where it names a group that is not there.
    """
    tensor, scale = packed.part("order"), packed.part("scale")
    if tensor is None or scale is None:
        return None
    data = reader.read(tensor.file, tensor.offset, tensor.nbytes, "order")
    index = data.view(np.dtype("<i8" if tensor.dtype == "I64" else "<i4")).astype(np.int64)
    groups = scale.shape[0 if packed.layout == "gptq" else -1]
    if index.size and (index.min() < 0 or index.max() >= groups):
        raise SourceError(f"{tensor.name} names a group that is not there", hint="fetch the file again", code="packed")
    if packed.group_size is None or np.array_equal(index, np.arange(len(index)) // packed.group_size):
        return None
    return index
