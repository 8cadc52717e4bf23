"""Foldings: factors that move from one tensor of a checkpoint into others, so that the model stays the same and its weights
become easier to quantize."""

from __future__ import annotations

import math
from array import array
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.json_fields import Fields


@dataclass(frozen=True, slots=True)
class Folding:
    """What is done to a tensor: w' = rows (w + offset) columns - offset.

    `rows` goes along its first dimension, `columns` along its last; of a vector there are rows alone. Both are little-endian
    float32, and empty where there are none. The offset is 1 where a norm multiplies with 1 + w.
    """

    rows: bytes = b""
    columns: bytes = b""
    offset: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Factors as base64."""
        found: dict[str, Any] = {}
        for key, factors in (("rows", self.rows), ("columns", self.columns)):
            if factors:
                found[key] = b64encode(factors).decode()
        return found | {"offset": self.offset} if self.offset else found

    @classmethod
    def from_json(cls, data: object) -> Folding:
        """The inverse of `to_json`. Raises ValueError where it is no folding."""
        if not isinstance(data, dict):
            raise ValueError("a folding is no object")
        read = Fields({"rows": "", "columns": "", "offset": 0.0, **data})
        offset = read.number("offset")
        if not math.isfinite(offset):
            raise ValueError("the offset of a folding is not finite")
        return cls(_factors(read.text("rows")), _factors(read.text("columns")), offset)


def _factors(text: str) -> bytes:
    try:
        factors = b64decode(text, validate=True)
    except NotBase64:
        raise ValueError("the factors of a folding are not base64") from None
    if len(factors) % 4:
        raise ValueError("the factors of a folding end in the middle of one")
    if any(not math.isfinite(factor) or not factor for factor in array("f", factors)):
        raise ValueError("a factor of a folding is zero or not finite")
    return factors
