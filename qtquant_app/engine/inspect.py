"""What is in a checkpoint, as CONTRACT's `inspect` document."""

from __future__ import annotations

from typing import Any

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint and each of its tensors, from headers alone."""
    return {
        "source": checkpoint.label,
        "architecture": checkpoint.architecture,
        "parameters": checkpoint.parameters,
        "bytes": checkpoint.nbytes,
        "stored_bytes": checkpoint.stored_bytes,
        "quantized_by": checkpoint.packed_by,
        "files": list(checkpoint.weight_files),
        "carried_files": list(checkpoint.carried_files),
        "tensors": [_tensor(tensor) for tensor in checkpoint.tensors],
    }


def _tensor(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "module": tensor.module,
        "kind": tensor.kind.value,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "bytes": tensor.nbytes,
        "quantizable": tensor.quantizable,
        "file": tensor.file,
        "tied_to": tensor.tied_to,
        "stored_bytes": tensor.stored_bytes,
        "packed": None if tensor.packed is None else tensor.packed.label,
    }
