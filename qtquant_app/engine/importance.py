"""Which input columns of each weight matter: a statistics file, as llama.cpp's `llama-imatrix` writes it.

For each matrix it holds how large the squares of each input were, summed (`NAME.in_sum2`, [matrices, columns]), and over how many
tokens (`NAME.counts`). Their mean weighs the square of a weight's error. Source: llama.cpp, tools/imatrix (the GGUF form of 2025).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, Statistics, TensorInfo
from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.foreign_files import read_bounded
from qtquant_app.core.json_text import shown
from qtquant_app.formats import find
from qtquant_app.formats.gguf.container import GgufHeader, GgufTensor, parse_gguf_header

Columns = NDArray[np.float32]
"""Mean square of each input, [columns]."""

_MOST = 1 << 31
"""Bytes; that of a model with 128 experts in 100 blocks takes some 300 MB."""
_SUMS, _COUNTS = ".in_sum2", ".counts"


def with_statistics(checkpoint: Checkpoint, path: str | Path | None) -> Checkpoint:
    """`checkpoint` with what the file at `path` says of it; as it is, where there is none. Raises what `read_statistics` does."""
    return checkpoint if not path else replace(checkpoint, statistics=read_statistics(path, checkpoint))


def read_statistics(path: str | Path, checkpoint: Checkpoint) -> Statistics:
    """The statistics in the file at `path` for the matrices of `checkpoint`, which it may call by their own names or as GGUF does.

    Raises SourceError where the file is none, does not fit the checkpoint, or names nothing in it.
    """
    try:
        data = read_bounded(Path(path), _MOST)
        header = parse_gguf_header(partial(_part, data), len(data))
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}", hint="check the path", code="importance"
        ) from None
    except ValueError as error:
        raise SourceError(
            f"{path} {error}",
            hint="give a statistics file of llama-imatrix in its GGUF form",
            code="importance",
        ) from None
    tensors = {tensor.name: tensor for tensor in header.tensors}
    named = _naming(checkpoint, header)
    found: dict[str, Columns] = {}
    for tensor in checkpoint.quantizable:
        for name, slice_ in named(tensor):
            if name + _SUMS in tensors:
                columns = _columns(str(path), data, tensors, name, slice_, tensor)
                if columns is not None:
                    found[tensor.name] = columns
                break
    if not found:
        raise SourceError(
            f"{path} says nothing of the layers of {checkpoint.label}",
            hint="give the statistics of this very model",
            code="importance",
        )
    return Statistics(str(Path(path).absolute()), hashlib.sha256(data).hexdigest(), found)


def _part(data: bytes, offset: int, nbytes: int) -> bytes:
    return data[offset : offset + nbytes]


def _naming(checkpoint: Checkpoint, header: GgufHeader) -> Callable[[TensorInfo], list[tuple[str, int]]]:
    """What a tensor may be called in the file, and which of the matrices there it is."""
    try:
        format = find("gguf").bound(checkpoint)
    except PlanError:  # not a model of llama.cpp's: its own names will have to do
        return lambda tensor: [(tensor.name, 0)]

    def names(tensor: TensorInfo) -> list[tuple[str, int]]:
        stored = format.kept(tensor)
        return [(tensor.name, 0), *((part.name, format.stack(tensor) or 0) for part in stored)]

    return names


def _columns(
    path: str, data: bytes, tensors: Mapping[str, GgufTensor], name: str, slice_: int, tensor: TensorInfo
) -> Columns | None:
    """Mean squares of one matrix; None where no token came by it."""
    sums = _floats(path, data, tensors[name + _SUMS])
    counts = _floats(path, data, tensors.get(name + _COUNTS)).reshape(-1)
    width = tensor.shape[1]
    if sums.shape[-1] != width or sums.size // width != counts.size or slice_ >= counts.size:
        raise SourceError(
            f"{path} gives {shown(name)} {list(sums.shape)} sums and {counts.size} counts, and {tensor.name} has {width} columns",
            hint="give the statistics of this very model",
            code="importance",
        )
    own, count = sums.reshape(-1, width)[slice_], float(counts[slice_])
    if not np.isfinite(own).all() or not np.isfinite(count) or (own < 0).any() or count < 0:
        raise SourceError(
            f"{path} holds numbers for {shown(name)} that are no sums of squares",
            hint="make it again",
            code="importance",
        )
    if not count or not own.any():
        return None
    means: Columns = (own.astype(np.float64) / count).astype(np.float32)
    return means


def _floats(path: str, data: bytes, tensor: GgufTensor | None) -> Columns:
    if tensor is None or tensor.type.name != "F32" or not tensor.shape:
        name = "the counts" if tensor is None else shown(tensor.name)
        raise SourceError(
            f"{path} does not hold {name} as float32", hint="make it again with llama-imatrix", code="importance"
        )
    found: Columns = np.frombuffer(data, "<f4", tensor.nbytes // 4, tensor.offset).reshape(tensor.shape)
    return found
