"""The output folder: OUT.partial while a run is unfinished, one rename when everything in it is valid."""

from __future__ import annotations

import io
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from qtquant_app.core.errors import PlanError, WriteError
from qtquant_app.core.plan import OutFile
from qtquant_app.engine.journal import NAME as JOURNAL

if TYPE_CHECKING:
    from typing_extensions import Buffer

RECORD = "qtquant.json"
"""The file that says what the folder holds and how it was made; only folders with it are ever replaced."""

PARTIAL = ".partial"


def partial_of(output: Path) -> Path:
    return output.with_name(output.name + PARTIAL)


def check_output(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises PlanError where `output` or its partial folder is in the way."""
    partial = partial_of(output)
    if output.exists() and not overwrite:
        raise PlanError(f"{output} exists", hint="choose another -o, or replace it with --overwrite", code="exists")
    if output.exists() and not (output / RECORD).is_file():
        raise PlanError(
            f"{output} was not written by QtQuant and is not replaced", hint="choose another -o", code="not-ours"
        )
    if partial.exists() and not (partial / JOURNAL).is_file() and any(partial.iterdir()):
        raise PlanError(
            f"{partial} exists and is no unfinished run", hint="choose another -o, or move it away", code="not-ours"
        )
    if partial.exists() and not (resume or overwrite) and any(partial.iterdir()):
        raise PlanError(
            f"{partial} holds an unfinished run",
            hint="go on with --resume, or start again with --overwrite",
            code="unfinished",
        )


class OutputFolder:
    """Writes the files of a plan into OUT.partial by byte ranges, from any number of threads."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.partial = partial_of(output)
        self._local = threading.local()
        self._handles: list[io.FileIO] = []
        self._lock = threading.Lock()

    def create(self) -> None:
        """Starts with an empty partial folder."""
        if self.partial.exists():
            shutil.rmtree(self.partial)
        self.partial.mkdir(parents=True)

    def allocate(self, file: OutFile, header: bytes) -> None:
        """Reserves the file at its full size, so that a full disk shows now, and writes its header.

        Raises WriteError where the drive has no room.
        """
        path = self.partial / file.name
        with path.open("wb") as stream:
            try:
                if hasattr(os, "posix_fallocate") and file.nbytes:
                    os.posix_fallocate(stream.fileno(), 0, file.nbytes)
                else:
                    stream.truncate(file.nbytes)
            except OSError as error:
                raise WriteError(
                    f"{path} cannot be given its {file.nbytes:,} bytes: {error.strerror}",
                    hint="free some space on the drive and go on with --resume",
                    code="disk-full",
                ) from None
            stream.write(header)

    def write(self, file: str, offset: int, data: NDArray[Any] | bytes) -> None:
        """Writes `data` at `offset` of `file`. Raises WriteError naming the file."""
        try:
            handle = self._handle(file)
            handle.seek(offset)
            view = memoryview(cast("Buffer", data)).cast("B")
            while view:
                view = view[handle.write(view) or 0 :]
        except OSError as error:
            raise WriteError(
                f"{self.partial / file} cannot be written: {error.strerror}",
                hint="check the drive and go on with --resume",
                code="write",
            ) from None

    def sync(self, file: str) -> None:
        """Returns when all that was written to `file` is on the disk."""
        handle = os.open(self.partial / file, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def write_whole(self, name: str, data: bytes | bytearray) -> None:
        """Writes a small file and syncs it."""
        path = self.partial / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.sync(name)

    def publish(self) -> None:
        """Makes the partial folder the output: one rename. An output that stood there gives way in the same breath."""
        self.close()
        _sync_folder(self.partial)
        old = self.output.with_name(self.output.name + ".replaced")
        if self.output.exists():
            self.output.rename(old)
        self.partial.rename(self.output)
        _sync_folder(self.output.parent)
        (self.output / JOURNAL).unlink(missing_ok=True)
        if (old / RECORD).is_file():
            shutil.rmtree(old)

    def close(self) -> None:
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()
        self._local = threading.local()

    def _handle(self, file: str) -> io.FileIO:
        handles: dict[str, io.FileIO] | None = getattr(self._local, "handles", None)
        if handles is None:
            handles = self._local.handles = {}
        if file not in handles:
            handles[file] = io.FileIO(self.partial / file, "r+")
            with self._lock:
                self._handles.append(handles[file])
        return handles[file]


def _sync_folder(folder: Path) -> None:
    """Makes renames and new names in `folder` durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
