"""Any tensor as rows and columns: what the inspector looks at, whatever shape and dtype the file has."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from math import prod

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, QUANTIZABLE
from qtquant_app.core.errors import PlanError, UsageError

_PART = re.compile(r"(?P<name>.+)\[(?P<index>\d+)\]")

WORKED: dict[str, str] = {
    "F8_E4M3": "BF16",
    "F8_E5M2": "BF16",
    "F8_E4M3FNUZ": "BF16",
    "F8_E5M2FNUZ": "BF16",
    "F8_E8M0": "BF16",
    "I8": "BF16",
    "U8": "BF16",
    "BOOL": "BF16",
    "F64": "F32",
    "I16": "F32",
    "U16": "F32",
    "I32": "F32",
    "U32": "F32",
    "I64": "F32",
    "U64": "F32",
}
"""The dtype that weights of another dtype are looked at in. bfloat16 holds every 8-bit number exactly; wider ones are rounded."""


@dataclass(frozen=True, slots=True)
class Matrix(TensorInfo):
    """A tensor, or one slice of a stack, as a matrix [rows, columns] of `dtype`; offset and `nbytes` are those in the file."""

    stored: str = ""
    """The dtype in the file; `dtype` is the one it is looked at in."""
    source: str = ""
    """The name of the tensor in the checkpoint; `name` has the slice behind it."""
    carried: bool = False
    """Whether a run leaves the tensor as it is, so that what is shown is what would be."""

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def columns(self) -> int:
        return self.shape[1]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the file."""
        return self.nbytes // self.rows


def part_of(name: str) -> tuple[str, int | None]:
    """(tensor, slice) of the name of a part: `experts.up_proj[3]`; the slice is None where none is named."""
    found = _PART.fullmatch(name)
    return (found["name"], int(found["index"])) if found else (name, None)


def slices(tensor: TensorInfo) -> int:
    """How many matrices a tensor is a stack of: its experts; 1 for any other tensor."""
    return tensor.shape[0] if _is_stack(tensor) else 1


def find(checkpoint: Checkpoint, layer: str) -> Matrix:
    """The matrix that `layer` names: a tensor or its module, a slice of a stack in brackets (the first if none is given).

    Raises UsageError where there is none, PlanError where it has no numbers that can be shown.
    """
    name, index = part_of(layer)
    for wanted, at in ((layer, None), (name, index)):
        tensor = checkpoint.by_name.get(wanted) or checkpoint.by_name.get(f"{wanted}.weight")
        if tensor is not None:
            return matrix_of(tensor, at)
    raise UsageError(
        f"{checkpoint.label} has no layer {layer!r}", hint="`qtquant inspect` lists the tensors", code="no-layer"
    )


def matrix_of(tensor: TensorInfo, index: int | None = None) -> Matrix:
    """`tensor` as a matrix: output channels down, all else across; one number or one row stays a row.

    Raises UsageError where it has no slice `index`, PlanError where it is empty or of a dtype without whole bytes.
    """
    dtype = tensor.dtype if tensor.dtype in QUANTIZABLE else WORKED.get(tensor.dtype)
    if dtype is None or not all(tensor.shape):
        what = "has no weights" if dtype else f"is {tensor.dtype}, whose numbers do not fill whole bytes"
        raise PlanError(f"{tensor.name} cannot be shown: it {what}", hint="choose another tensor", code="not-shown")
    count = slices(tensor)
    if index is not None and (not _is_stack(tensor) or index >= count):
        has = f"{count} slices, from [0]" if _is_stack(tensor) else "no slices"
        raise UsageError(f"{tensor.name} has no slice [{index}]: it has {has}", hint="name another", code="no-layer")
    at = (index or 0) if _is_stack(tensor) else None
    shape = tensor.shape[1:] if at is not None else tensor.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    rows = shape[0] if len(shape) > 1 else 1
    nbytes = tensor.nbytes // count
    values = {field.name: getattr(tensor, field.name) for field in fields(TensorInfo)}
    values |= {
        "name": tensor.name if at is None else f"{tensor.name}[{at}]",
        "dtype": dtype,
        "shape": (rows, prod(shape) // rows),
        "offset": tensor.offset + (at or 0) * nbytes,
        "nbytes": nbytes,
    }
    return Matrix(**values, stored=tensor.dtype, source=tensor.name, carried=not tensor.quantizable)


def item_bytes(dtype: str) -> int:
    """Bytes of one number of a dtype that fills whole bytes."""
    return ITEM_BITS[dtype] // 8


def _is_stack(tensor: TensorInfo) -> bool:
    return tensor.kind == Kind.EXPERT and len(tensor.shape) == 3
