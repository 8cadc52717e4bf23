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
from qtquant_app.core.folding import Folding
from qtquant_app.core.packed import Packed
from qtquant_app.core.remote import Remote
from qtquant_app.core.stacks import Part, Stack


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
    packed: Packed | None = None
    """What it is decoded from, where the checkpoint is quantized: dtype and bytes are then those of the float weight that it stands
    for, and `offset` counts bytes of that."""
    part: Part | None = None
    """Where it lies in a stack of experts, if in one. `offset` counts bytes of the matrix itself where it is in pieces there."""

    @property
    def module(self) -> str:
        """The module that owns the tensor: its name less the last part."""
        return self.name.rpartition(".")[0]

    @property
    def parameters(self) -> int:
        return prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes that it takes in the files."""
        return self.nbytes if self.packed is None else self.packed.nbytes

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
class Statistics:
    """What a file says of the inputs that the layers of a checkpoint get."""

    path: str = ""
    sha256: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Mean square of each input column, float32 [columns], by the name of the weight."""


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
    stacks: tuple[Stack, ...] = ()
    """The stacks of experts that the files hold, whether `tensors` has them or their matrices."""
    fingerprint: str = ""
    """Identifies the weight files by name, size and header; changes when any of them does."""
    statistics: Statistics = field(default_factory=Statistics, compare=False)
    """Which columns matter, where a file that says it was given along."""
    foldings: Mapping[str, Folding] = field(default_factory=dict, compare=False)
    """Factors that have moved between its tensors, by name: whoever reads them finds them folded."""
    remote: Remote | None = field(default=None, compare=False)
    """Where the weight files are, if not in `root`: read them through this, and small files through `local`."""

    @property
    def source(self) -> str:
        """What opens the same checkpoint again, today and later: the path, or the Hub id with its commit."""
        return str(self.path) if self.remote is None else self.remote.name

    def local(self, file: str) -> Path:
        """A small file of the checkpoint, fetched where it is not here. Raises SourceError where that fails."""
        return self.root / file if self.remote is None else self.remote.fetch(file)

    def size_of(self, file: str) -> int:
        """Bytes of a file of the checkpoint, wherever it is. Raises OSError where it cannot be looked at."""
        return (self.root / file).stat().st_size if self.remote is None else self.remote.size(file)

    def bring(self) -> Path:
        """The root, with every carried file in it: for readers that want a folder. Raises SourceError where that fails."""
        for file in self.carried_files if self.remote is not None else ():
            self.local(file)
        return self.root

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
        """Bytes of its tensors, quantized ones counted as the float weights that they stand for."""
        return sum(t.nbytes for t in self.tensors if t.tied_to is None)

    @property
    def stored_bytes(self) -> int:
        """Bytes that its tensors take in the files."""
        return sum(t.stored_bytes for t in self.tensors if t.tied_to is None)

    @cached_property
    def packed_by(self) -> str:
        """What quantized it: `gptq`, `awq`, `compressed-tensors`; empty where its weights are floats."""
        return next((t.packed.method for t in self.tensors if t.packed is not None and t.packed.method), "")
