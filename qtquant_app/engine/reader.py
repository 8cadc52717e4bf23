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
from qtquant_app.core.packed import Packed
from qtquant_app.core.remote import Remote
from qtquant_app.core.stacks import Part
from qtquant_app.engine import filesystem
from qtquant_app.engine.packed.arithmetic import rounded_into
from qtquant_app.formats.base import raw_dtype
from qtquant_app.quant.stored import worked

if TYPE_CHECKING:
    from typing_extensions import Buffer


_HELD = 6
"""Arrays kept by `held`: codes, scales and zero points of two tensors."""

TILE = 1 << 16
"""Weights decoded at once, so that the processor's caches hold them."""


class RangeReader:
    """Reads byte ranges of the files under `root`, or of those that `remote` has. Each thread has its own handles, so threads never
    share a position."""

    def __init__(self, root: Path, remote: Remote | None = None) -> None:
        self._root = root
        self._remote = remote
        self._local = threading.local()
        self._open: list[io.RawIOBase] = []
        self._lock = threading.Lock()
        self._holding = threading.Lock()
        self._held: dict[tuple[str, int, int], NDArray[np.uint8]] = {}

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

    def held(self, file: str, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """As `take`; kept until others have been held, for all threads that want the same."""
        with self._holding:
            key = file, offset, nbytes
            if key not in self._held:
                while len(self._held) >= _HELD:
                    del self._held[next(iter(self._held))]
                self._held[key] = self.take(file, offset, nbytes)
            return self._held[key]

    def columns(
        self, file: str, offset: int, shape: tuple[int, ...], width: int, first: int, last: int, slot: str = ""
    ) -> NDArray[np.uint8]:
        """Columns `first` to `last` of the matrix of `shape` at `offset`, whose numbers take `width` bytes: [rows, bytes].

        In this thread's buffer `slot`, as with `read`.
        """
        rows, row = shape[0], shape[1] * width
        start, taken = first * width, (last - first) * width
        if taken == row:
            return self.read(file, offset, rows * row, slot).reshape(rows, row)
        if self._remote is not None:  # at once, and not row by row
            self._remote.prefetch(file, [(offset, offset + rows * row)])
        found = self._buffer(slot, rows * taken)[: rows * taken].reshape(rows, taken)
        for at in range(rows):
            self._fill(found[at], file, offset + at * row + start, taken)
        return found

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

    def _handle(self, file: str) -> io.RawIOBase:
        handles: dict[str, io.RawIOBase] | None = getattr(self._local, "handles", None)
        if handles is None:
            handles = self._local.handles = {}
        if file not in handles:
            handles[file] = (
                filesystem.open_for_reading(self._root / file) if self._remote is None else self._remote.open(file)
            )
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
        super().__init__(checkpoint.root, checkpoint.remote)
        self.checkpoint = checkpoint

    def rows(self, tensor: TensorInfo, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop of a float matrix as [rows, columns], bfloat16 as its bits in uint16.

        The array is this thread's buffer: use it up, or copy it, before the next read.
        """
        row = tensor.nbytes // tensor.shape[0]
        data = self.bytes_of(tensor, start * row, stop * row)
        if isinstance(tensor, Matrix) and tensor.stored != tensor.dtype:
            return worked(data, tensor.stored).reshape(stop - start, *tensor.shape[1:])
        return data.view(raw_dtype(tensor.dtype)).reshape(stop - start, *tensor.shape[1:])

    def bytes_of(self, tensor: TensorInfo, start: int, stop: int) -> NDArray[np.uint8]:
        """Bytes `start` to `stop` of a tensor, decoded where the checkpoint has it quantized, and folded where it has it folded.

        The array is this thread's buffer, as with `rows`.
        """
        found = self._unfolded(tensor, start, stop)
        folding = self.checkpoint.foldings.get(tensor.name)
        if folding is None or start == stop:
            return found
        from qtquant_app.engine.folded import folded

        return folded(found, tensor, folding, start)

    def _unfolded(self, tensor: TensorInfo, start: int, stop: int) -> NDArray[np.uint8]:
        if tensor.packed is None or start == stop:
            if tensor.part is not None and not tensor.part.in_one_piece:
                return self._gathered(tensor.part, tensor.offset + start, tensor.offset + stop)
            return self.read(tensor.file, tensor.offset + start, stop - start)
        row = raw_dtype(tensor.dtype).itemsize * tensor.shape[-1]
        begin, end = tensor.offset + start, tensor.offset + stop
        first, last = begin // row, -(-end // row)
        found = self._decoded(tensor, tensor.packed, first, last)
        return found[begin - first * row : end - first * row]

    def _gathered(self, part: Part, begin: int, end: int) -> NDArray[np.uint8]:
        """Bytes `begin` to `end` of a matrix that lies in pieces in a stack."""
        from qtquant_app.engine.experts.tiles import read_rows

        raw, (_, columns) = raw_dtype(part.stack.tensor.dtype), part.stack.shape
        row = columns * raw.itemsize
        first, last = begin // row, -(-end // row)
        out = self._buffer("gathered", (last - first) * row)[: (last - first) * row]
        unsigned = np.dtype(f"<u{raw.itemsize}")
        read_rows(self, part, first, last, out.view(unsigned).reshape(last - first, columns))
        return out[begin - first * row : end - first * row]

    def _decoded(self, tensor: TensorInfo, packed: Packed, first: int, last: int) -> NDArray[np.uint8]:
        """Rows `first` to `last` of all rows of a quantized tensor, as bytes, a few at a time: what decoding takes stays small."""
        from qtquant_app.engine.packed.layout import layout_of

        columns, raw = tensor.shape[-1], raw_dtype(tensor.dtype)
        out = self._buffer("decoded", (last - first) * columns * raw.itemsize)[
            : (last - first) * columns * raw.itemsize
        ]
        rows = out.view(raw).reshape(last - first, columns)
        decode = layout_of(packed).load(self, packed, columns, first, last)
        step = max(1, TILE // columns)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite in a file is found by whoever uses it
            for at in range(0, last - first, step):
                end = min(at + step, last - first)
                rounded_into(decode(at, end), tensor.dtype, rows[at:end])
        return out
