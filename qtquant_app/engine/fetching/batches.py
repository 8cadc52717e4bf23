"""What of a source is worked on together: tensors that follow each other and are read from the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.engine.hub.cost import ranges_of


@dataclass(frozen=True, slots=True)
class Batch:
    """`tensors`, read from `files`; `last` are those of the files that nothing after it is read from."""

    files: tuple[str, ...]
    tensors: tuple[TensorInfo, ...]
    last: tuple[str, ...] = ()


def batches(
    tensors: Iterable[TensorInfo], mates: Callable[[TensorInfo], Sequence[TensorInfo]] = lambda tensor: (tensor,)
) -> list[Batch]:
    """`tensors` in their order; `mates` says which are looked at for the sake of one."""
    found: list[tuple[tuple[str, ...], list[TensorInfo]]] = []
    for tensor in tensors:
        files = tuple(sorted({file for mate in mates(tensor) for file in files_of(mate)}))
        if not found or found[-1][0] != files:
            found.append((files, []))
        found[-1][1].append(tensor)
    last = {file: at for at, (files, _) in enumerate(found) for file in files}
    return [
        Batch(files, tuple(together), tuple(file for file in files if last[file] == at))
        for at, (files, together) in enumerate(found)
    ]


def files_of(tensor: TensorInfo) -> set[str]:
    """The files that a tensor is read from."""
    return {file for file, _, _ in ranges_of(tensor)}


def files_in_order(parts: Iterable[Batch]) -> list[str]:
    """Each file once, in the order in which they are needed."""
    return list(dict.fromkeys(file for part in parts for file in part.files))
