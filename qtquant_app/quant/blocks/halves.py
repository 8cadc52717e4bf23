"""F16 and BF16 as block types of one weight: each weight rounded to nearest even."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.chunk import RAW_TYPES, Raw, RestoredOverflow, as_float32

HALVES = ("F16", "BF16")


def converted(raw: Raw, dtype: str, name: str) -> NDArray[np.uint8]:
    """Finite raw [rows, columns] in the dtype `name`, its bytes uint8 [rows, 2 * columns]; the very bytes where it is `dtype`.

    Raises RestoredOverflow naming the first row of which a weight is beyond what `name` reaches.
    """
    if name == dtype:
        return np.ascontiguousarray(raw).view(np.uint8)
    values = as_float32(raw, dtype)
    if name == "F16":
        with np.errstate(over="ignore", under="ignore"):
            rounded = values.astype("<f2")
        beyond = np.isinf(rounded).any(axis=1)
    else:
        bits = values.view(np.uint32)
        even = (bits >> np.uint32(16)) & np.uint32(1)
        rounded = ((bits + np.uint32(0x7FFF) + even) >> np.uint32(16)).astype("<u2")
        beyond = ((rounded & 0x7FFF) == 0x7F80).any(axis=1)
    if beyond.any():
        raise RestoredOverflow(int(beyond.argmax()))
    return rounded.view(np.uint8)


def stored_as(packed: NDArray[np.uint8], name: str) -> Raw:
    """Bytes uint8 [rows, 2 * columns] as the raw matrix they are; a copy only where they are not contiguous."""
    raw: Raw = np.require(packed, requirements=["C", "A"]).view(RAW_TYPES[name])
    return raw
