"""Finds the quantized weights among the tensors of a checkpoint and puts a float weight in the place of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import QUANTIZABLE
from qtquant_app.core.json_text import parse_json
from qtquant_app.core.matrix import WORKED
from qtquant_app.core.remote import Remote
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.packed.layout import layouts
from qtquant_app.engine.packed.modules import by_module, told_by
from qtquant_app.engine.reader import RangeReader

RECORD = "qtquant.json"

MARKS = (".weight_packed", ".weight_scale", ".weight_scale_inv", ".qweight", ".scales", ".SCB", ".absmax")
"""Endings of names that only quantized weights have beside them."""

_NUMBERS = frozenset((*QUANTIZABLE, *WORKED))
"""Dtypes of whole bytes, whose numbers can be read."""
_EXPERTS = "_blocks"
"""Of MXFP4 stacks of experts, which `engine.experts` tells."""
_SHAPE = ".weight_shape"
_STATE = ".weight.quant_state.bitsandbytes__"
_LONGEST_STATE = 1 << 16
_LONGEST_RECORD = 200_000_000


def unpacked(
    root: Path, tensors: Sequence[TensorInfo], config: Mapping[str, Any], remote: Remote | None = None
) -> list[TensorInfo]:
    """`tensors` with a float weight in place of the stored parts of each quantized one; all others as they are.

    What cannot be told stays as it is stored. Reads no more than headers and the shapes that some layouts store.
    """
    if not any(tensor.name.endswith(MARKS) for tensor in tensors):
        return list(tensors)
    told = told_by(config, *_stored_words(root, tensors, remote))
    standing: dict[str, TensorInfo] = {}
    hidden: set[str] = set()
    for module in by_module(tensors).values():
        if len(module.tensors) < 2 or not all(tensor.dtype in _NUMBERS for tensor in module.tensors.values()):
            continue
        found = next((w for layout in layouts() if (w := layout.weight(module, told)) is not None), None)
        if found is not None and found.packed is not None:
            parts = [tensor.name for _, tensor in found.packed.parts]
            standing[parts[0]] = found
            hidden.update(parts)
    return [standing.get(t.name, t) for t in tensors if t.name in standing or t.name not in hidden]


def unread(tensors: Iterable[TensorInfo]) -> tuple[str, ...]:
    """Tensors that can only be parts of a quantized weight, yet belong to no weight that was told."""
    return tuple(tensor.name for tensor in tensors if tensor.name.endswith((*MARKS, _EXPERTS)))


def _stored_words(
    root: Path, tensors: Iterable[TensorInfo], remote: Remote | None
) -> tuple[dict[str, tuple[int, int]], dict[str, Mapping[str, Any]]]:
    """What `weight_shape` tensors hold, 16 bytes each, and the JSON of bitsandbytes, by module."""
    shapes: dict[str, tuple[int, int]] = {}
    states: dict[str, Mapping[str, Any]] = {}
    with RangeReader(root, remote) as reader:
        for tensor in tensors:
            if tensor.name.endswith(_SHAPE) and tensor.shape == (2,) and tensor.dtype in ("I64", "I32"):
                data = reader.read(tensor.file, tensor.offset, tensor.nbytes)
                rows, columns = data.view(np.dtype("<i8" if tensor.dtype == "I64" else "<i4")).tolist()
                shapes[tensor.name.removesuffix(_SHAPE)] = (rows, columns)
            elif _STATE in tensor.name and tensor.dtype == "U8" and tensor.nbytes <= _LONGEST_STATE:
                data = reader.read(tensor.file, tensor.offset, tensor.nbytes)
                states[tensor.name.partition(_STATE)[0]] = _state(data.tobytes())
    return {**_recorded_shapes(root), **shapes}, states


def _state(text: bytes) -> Mapping[str, Any]:
    try:
        found = parse_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _recorded_shapes(root: Path) -> dict[str, tuple[int, int]]:
    """The shapes of what a run of QtQuant quantized, as it recorded them: the plain format does not store them."""
    try:
        record = parse_json(read_bounded(root / RECORD, _LONGEST_RECORD))
        tensors = record["plan"]["tensors"]
        return {t["module"]: (int(t["shape"][0]), int(t["shape"][1])) for t in tensors if t["action"] == "quantize"}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
