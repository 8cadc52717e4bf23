"""What a checkpoint is, as values: tensors by name, where their bytes lie, and what the config says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from qtquant_app.core.dtypes import QUANTIZABLE


class Kind(StrEnum):
    """What a tensor is to the model."""

    LINEAR = "linear"
    EXPERT = "expert"
    EMBEDDING = "embedding"
    HEAD = "head"
    NORM = "norm"
    BIAS = "bias"
    CONV = "conv"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it: `nbytes` bytes of `dtype`, row-major, at `offset` of `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    """Path relative to the checkpoint's root."""
    offset: int
    nbytes: int
    kind: Kind = Kind.OTHER
    tied_to: str | None = None
    """The name of the tensor that holds the same bytes, where this one is an alias of it."""

    @property
    def module(self) -> str:
        """The module that owns the tensor: its name less the last part."""
        return self.name.rpartition(".")[0]

    @property
    def parameters(self) -> int:
        return prod(self.shape)

    @property
    def quantizable(self) -> bool:
        """Whether a run can quantize it: a float matrix of a linear layer, an expert, a head or an embedding."""
        return (
            len(self.shape) == 2
            and self.dtype in QUANTIZABLE
            and self.kind in (Kind.LINEAR, Kind.EXPERT, Kind.HEAD)
            and self.name.endswith("weight")
            and self.tied_to is None
            and all(self.shape)
        )


@dataclass(frozen=True)
class Checkpoint:
    """The source files of a model, read no further than their headers."""

    root: Path
    """The folder; for a single file, the folder that holds it."""
    path: Path
    """What to open to get the same checkpoint again: the folder or the file."""
    label: str
    """What to call it on screen: the path, the Hub id, or `sample`."""
    tensors: tuple[TensorInfo, ...]
    weight_files: tuple[str, ...]
    """Weight files relative to `root`, in order."""
    carried_files: tuple[str, ...] = ()
    """Files beside the weights that a result needs too: tokenizer, processor, licence."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """config.json as read; empty where there is none."""
    architecture: str = ""
    pickled: bool = False
    """Whether the weights come from `.bin`/`.pt` files."""
    fingerprint: str = ""
    """Identifies the weight files by name, size and header; changes when any of them does."""

    @cached_property
    def by_name(self) -> Mapping[str, TensorInfo]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def quantizable_names(self) -> frozenset[str]:
        """The names of the tensors that a run can quantize."""
        return frozenset(tensor.name for tensor in self.tensors if tensor.quantizable)

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """The module of each tensor, in the same order."""
        return tuple(tensor.module for tensor in self.tensors)

    @cached_property
    def quantizable(self) -> tuple[TensorInfo, ...]:
        """The tensors that a run can quantize, in the checkpoint's order."""
        return tuple(tensor for tensor in self.tensors if tensor.quantizable)

    @cached_property
    def quantizable_modules(self) -> tuple[str, ...]:
        """The modules whose weights a run can quantize, each once, in the checkpoint's order."""
        return tuple(dict.fromkeys(tensor.module for tensor in self.quantizable))

    @cached_property
    def head_modules(self) -> tuple[str, ...]:
        """Those of the quantizable modules that are output heads."""
        return tuple(dict.fromkeys(tensor.module for tensor in self.quantizable if tensor.kind == Kind.HEAD))

    @cached_property
    def matched(self) -> dict[str, frozenset[str]]:
        """The modules that patterns name, as `core.matching` has found them out."""
        return {}

    @property
    def parameters(self) -> int:
        return sum(t.parameters for t in self.tensors if t.tied_to is None)

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in self.tensors if t.tied_to is None)
