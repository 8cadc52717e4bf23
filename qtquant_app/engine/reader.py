"""Reads ranges of tensors from the source files, into a buffer that each thread keeps."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import SourceError
from qtquant_app.core.matrix import Matrix
from qtquant_app.engine import filesystem
from qtquant_app.formats.base import raw_dtype
from qtquant_app.quant.stored import worked

if TYPE_CHECKING:
    from typing_extensions import Buffer


class RangeReader:
    """Reads byte ranges of the files under `root`. Each thread has its own handles, so threads never share a position."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._local = threading.local()
        self._open: list[io.FileIO] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            for handle in self._open:
                handle.close()
            self._open.clear()
        self._local = threading.local()

    def read(self, file: str, offset: int, nbytes: int, slot: str = "") -> NDArray[np.uint8]:
        """`nbytes` bytes at `offset`, in this thread's buffer `slot`: valid until the thread's next read into that slot.

        Raises SourceError naming the file where it cannot be read or ends early.
        """
        return self._fill(self._buffer(slot, nbytes), file, offset, nbytes)

    def take(self, file: str, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """As `read`, in an array of the caller's own."""
        return self._fill(np.empty(nbytes, np.uint8), file, offset, nbytes)

    def _fill(self, buffer: NDArray[np.uint8], file: str, offset: int, nbytes: int) -> NDArray[np.uint8]:
        try:
            handle = self._handle(file)
            view, done = memoryview(cast("Buffer", buffer)), 0
            while done < nbytes:
                got = filesystem.read_into(handle, offset + done, view[done:nbytes])
                if not got:
                    raise SourceError(f"{file} ends before byte {offset + nbytes}", hint="fetch it again", code="read")
                done += got
        except OSError as error:
            raise SourceError(
                f"{file} cannot be read at byte {offset}: {error.strerror}", hint="check the disk", code="read"
            ) from None
        return buffer[:nbytes]

    def _handle(self, file: str) -> io.FileIO:
        handles: dict[str, io.FileIO] | None = getattr(self._local, "handles", None)
        if handles is None:
            handles = self._local.handles = {}
        if file not in handles:
            handles[file] = filesystem.open_for_reading(self._root / file)
            with self._lock:
                self._open.append(handles[file])
        return handles[file]

    def _buffer(self, slot: str, nbytes: int) -> NDArray[np.uint8]:
        buffers: dict[str, NDArray[np.uint8]] | None = getattr(self._local, "buffers", None)
        if buffers is None:
            buffers = self._local.buffers = {}
        if slot not in buffers or buffers[slot].size < nbytes:
            buffers.pop(slot, None)  # before the larger one is there
            buffers[slot] = np.empty(nbytes, np.uint8)
        return buffers[slot]


class TensorReader(RangeReader):
    """Reads rows of a checkpoint's tensors."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.root)
        self.checkpoint = checkpoint

    def rows(self, tensor: TensorInfo, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop of a float matrix as [rows, columns], bfloat16 as its bits in uint16.

        The array is this thread's buffer: use it up, or copy it, before the next read.
        """
        row = tensor.nbytes // tensor.shape[0]
        data = self.read(tensor.file, tensor.offset + start * row, (stop - start) * row)
        if isinstance(tensor, Matrix) and tensor.stored != tensor.dtype:
            return worked(data, tensor.stored).reshape(stop - start, *tensor.shape[1:])
        return data.view(raw_dtype(tensor.dtype)).reshape(stop - start, *tensor.shape[1:])
