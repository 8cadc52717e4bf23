"""What looking at a tensor would transfer, known before it is."""

from __future__ import annotations

from collections.abc import Iterator

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.matrix import Matrix, find


def cost_of(checkpoint: Checkpoint, layer: str) -> int:
    """Bytes that reading the whole of `layer`, a tensor, its module or a slice, would fetch now; 0 where they are here.

    Raises UsageError where there is no such tensor.
    """
    remote = checkpoint.remote
    if remote is None:
        return 0
    return sum(remote.missing(file, start, stop) for file, start, stop in ranges_of(find(checkpoint, layer)))


def bring_tensor(checkpoint: Checkpoint, layer: str) -> None:
    """Fetches all of `layer`, several ranges at a time, and keeps it. Raises what `cost_of` does, and SourceError."""
    remote = checkpoint.remote
    for file, start, stop in ranges_of(find(checkpoint, layer)) if remote is not None else ():
        if remote is not None:
            remote.prefetch(file, [(start, stop)])


def ranges_of(tensor: TensorInfo | Matrix) -> Iterator[tuple[str, int, int]]:
    """The file and the bytes in it of each part that a tensor is read from."""
    packed, part = tensor.packed, tensor.part
    if packed is not None:
        for _, stored in packed.parts:
            yield stored.file, stored.offset, stored.offset + stored.nbytes
    elif part is not None and not part.in_one_piece:
        start = part.stack.tensor.offset + part.expert * part.stack.slice_bytes
        yield part.stack.tensor.file, start, start + part.stack.slice_bytes
    else:
        yield tensor.file, tensor.offset, tensor.offset + tensor.nbytes
