"""Keeps what waits between two blocks: in memory as long as there is room, else in a file that is mapped where it is used."""

from __future__ import annotations

import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

if TYPE_CHECKING:
    from torch import Tensor


class Shelf:
    """Holds at most `room` bytes of tensors in memory at once; those beyond it lie in files in `folder` that have no name.

    Tensors on a device stay there. A file goes when its tensor does.
    """

    def __init__(self, folder: Path, room: int) -> None:
        self._folder = folder
        self.room = room
        self._held: WeakSet[Any] = WeakSet()
        self._mapped: list[ref[mmap.mmap]] = []

    def put(self, output: Any) -> Any:
        """What a block gave, the tensors in it kept."""
        import torch

        if isinstance(output, tuple):
            return tuple(self.put(part) for part in output)
        if not isinstance(output, torch.Tensor) or output.device.type != "cpu" or not output.numel():
            return output
        if sum(storage.nbytes() for storage in self._storages()) + output.nbytes <= self.room:
            self._held.add(output)
            return output
        return self._filed(output)

    def rest(self) -> None:
        """Lets go of the memory that files took which have been read; they are read again when they are used again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapping in self._maps():
                mapping.madvise(mmap.MADV_DONTNEED)

    @property
    def in_files(self) -> int:
        """Bytes that lie in files now."""
        return sum(map(len, self._maps()))

    def _maps(self) -> list[mmap.mmap]:
        there = [(known, mapping) for known in self._mapped if (mapping := known()) is not None]
        self._mapped = [known for known, _ in there]
        return [mapping for _, mapping in there]

    def _storages(self) -> list[Any]:
        return list({tensor.data_ptr(): tensor.untyped_storage() for tensor in self._held}.values())

    def _filed(self, output: Tensor) -> Tensor:
        import torch

        with TemporaryFile(dir=self._folder) as file:
            output.contiguous().view(-1).view(torch.uint8).numpy().tofile(file)
            file.flush()
            mapping = mmap.mmap(file.fileno(), 0)
        self._mapped.append(ref(mapping))
        return torch.frombuffer(mapping, dtype=output.dtype).view(output.shape)
