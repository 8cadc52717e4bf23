"""What a checkpoint comes to, counted once in a worker: there may be a hundred thousand tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath

from qtquant_app.core.checkpoint import Checkpoint, Kind

SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class KindRow:
    """The tensors of one kind."""

    kind: str
    tensors: int
    parameters: int
    bytes: int
    share: float
    """Of the checkpoint's bytes, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class Summary:
    architecture: str
    tensors: int
    parameters: int
    bytes: int
    """Of the float weights, those that are quantized as they decode."""
    stored_bytes: int
    """As they lie in the files."""
    packed: tuple[str, ...]
    """What it is quantized with, the most weights first: `gptq W4 g128 asym`; empty where it is not."""
    dtypes: tuple[tuple[str, float], ...]
    """Each with its share of the bytes, largest first."""
    kinds: tuple[KindRow, ...]
    weight_files: tuple[str, ...]
    carried_files: tuple[str, ...]
    pickled: bool
    place: str
    here: int | None = None
    """Bytes of the weight files that are on this computer; None where the checkpoint is, all of it."""
    all_bytes: int = 0
    """Of the weight files."""


def summarize(checkpoint: Checkpoint) -> Summary:
    """Counts the tensors of `checkpoint`; one that shares another's bytes adds none."""
    tensors: Counter[Kind] = Counter()
    parameters: Counter[Kind] = Counter()
    sizes: Counter[Kind] = Counter()
    dtypes: Counter[str] = Counter()
    for tensor in checkpoint.tensors:
        tensors[tensor.kind] += 1
        if tensor.tied_to is None:
            parameters[tensor.kind] += tensor.parameters
            sizes[tensor.kind] += tensor.nbytes
            dtypes[tensor.dtype] += tensor.nbytes
    packed: Counter[str] = Counter()
    for tensor in checkpoint.tensors:
        if tensor.packed is not None and tensor.packed.method:
            packed[tensor.packed.label] += tensor.parameters
    total = sum(sizes.values())
    return Summary(
        architecture=checkpoint.architecture or "unknown",
        tensors=len(checkpoint.tensors),
        parameters=sum(parameters.values()),
        bytes=total,
        stored_bytes=checkpoint.stored_bytes,
        packed=tuple(label for label, _ in packed.most_common()),
        dtypes=tuple((name, size / total if total else 0.0) for name, size in dtypes.most_common()),
        kinds=tuple(
            KindRow(kind.value, tensors[kind], parameters[kind], sizes[kind], sizes[kind] / total if total else 0.0)
            for kind in Kind
            if tensors[kind]
        ),
        weight_files=checkpoint.weight_files,
        carried_files=checkpoint.carried_files,
        pickled=checkpoint.pickled,
        place=str(checkpoint.root),
        here=here_bytes(checkpoint),
        all_bytes=sum(map(checkpoint.remote.size, checkpoint.weight_files)) if checkpoint.remote else 0,
    )


def here_bytes(checkpoint: Checkpoint) -> int | None:
    """Bytes of a Hub model's weight files that have been fetched; None for a checkpoint on this computer."""
    remote = checkpoint.remote
    if remote is None:
        return None
    sizes = {file: remote.size(file) for file in checkpoint.weight_files}
    return sum(size - remote.missing(file, 0, size) for file, size in sizes.items())


def lasting_name(checkpoint: Checkpoint) -> str:
    """What opens `checkpoint` again, from whatever folder the program is started in."""
    given = PurePath(checkpoint.label)
    local = given.name == checkpoint.path.name and checkpoint.label != SAMPLE
    return str(checkpoint.path) if local else checkpoint.label
