"""The output folder: OUT.partial while a run is unfinished, one rename when everything in it is valid.

A result that stands at OUT is moved into OUT.partial first, goes along with it, and is then removed: at every moment OUT is the
old result, or the new one, or there is none and OUT.partial holds both, which `settle` makes good. Nothing beside the two is
touched.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.plan import OutFile
from qtquant_app.engine import filesystem
from qtquant_app.engine.faults import naming
from qtquant_app.engine.journal import NAME as JOURNAL

if TYPE_CHECKING:
    from typing_extensions import Buffer

RECORD = "qtquant.json"
"""The file that says what the folder holds and how it was made; only folders with it are ever replaced."""

PARTIAL = ".partial"

REPLACED = "replaced"
"""What stood at OUT before, inside OUT.partial for the moment in which the one becomes the other."""

SOLVED = "solved"
"""What calibration found, inside OUT.partial, for a run to go on with."""

_COPY_BLOCK = 1 << 20


def partial_of(output: Path) -> Path:
    return output.with_name(output.name + PARTIAL)


def check_output(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises PlanError where `output` or its partial folder is in the way."""
    partial = partial_of(output)
    if output.exists() and not overwrite:
        unfinished = resume and (partial / JOURNAL).is_file()
        hint = "go on and replace it with --resume --overwrite" if unfinished else "or replace it with --overwrite"
        raise PlanError(f"{output} exists", hint=f"choose another -o, {hint}", code="exists")
    if output.exists() and not (output / RECORD).is_file():
        raise PlanError(
            f"{output} was not written by QtQuant and is not replaced", hint="choose another -o", code="not-ours"
        )
    there = partial.exists() and _begun(partial)
    if there and not (partial / JOURNAL).is_file():
        raise PlanError(
            f"{partial} exists and is no unfinished run", hint="choose another -o, or move it away", code="not-ours"
        )
    if there and not (resume or overwrite):
        raise PlanError(
            f"{partial} holds an unfinished run",
            hint="go on with --resume, or start again with --overwrite",
            code="unfinished",
        )


def _begun(partial: Path) -> bool:
    """Whether anything is in it but the journal of a run that had no time to say a word."""
    return any(path.name != JOURNAL or path.stat().st_size for path in partial.iterdir())


def settle(output: Path) -> None:
    """Puts back the result that a run had moved away when it was stopped, just before its own could take the place.

    Call it with the lock held. Raises PlanError where something else has come to stand there.
    """
    moved = partial_of(output) / REPLACED
    if not (moved / RECORD).is_file():
        return
    if output.exists():
        raise PlanError(
            f"{moved} is an older result that {output} was to replace, and another stands there now",
            hint=f"move {moved} away, then go on",
            code="replaced",
        )
    with naming(moved, "cannot be moved back"):
        filesystem.rename(moved, output)
        filesystem.fsync_folder(output.parent)


def leftovers(folder: Path) -> tuple[str, ...]:
    """What a run that was stopped right after its result was in place did not come to remove from it."""
    return tuple(name for name in (JOURNAL, REPLACED, SOLVED) if (folder / name).exists())


class OutputFolder:
    """Writes the files of a plan into OUT.partial by byte ranges, from any number of threads.

    Every method raises WriteError naming the file: code "disk-full" where there is no room, and then it can be called again.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.partial = partial_of(output)
        self._local = threading.local()
        self._handles: list[int] = []
        self._lock = threading.Lock()

    def create(self) -> None:
        """Makes the partial folder where it is not there."""
        with naming(self.partial):
            filesystem.make_folder(self.partial)
            filesystem.fsync_folder(self.partial.parent)

    def clear(self) -> None:
        """Removes all but the journal from the partial folder. Call it with the lock held."""
        with naming(self.partial, "cannot be emptied"):
            for path in self.partial.iterdir():
                if path.name != JOURNAL:
                    filesystem.remove(path)

    def unrecord(self) -> None:
        """Takes away the record of a run that got so far: until the next one is written, the folder is not to look whole."""
        with naming(self.partial / RECORD, "cannot be removed"):
            filesystem.remove(self.partial / RECORD)

    def allocate(self, file: OutFile, header: bytes) -> None:
        """Reserves the file at its full size, so that a full disk shows now, and writes its header."""
        path = self.partial / file.name
        with naming(path, f"cannot be given its {file.nbytes:,} bytes"):
            handle = filesystem.open_for_writing(path, create=True)
            try:
                filesystem.truncate(handle, 0)
                filesystem.reserve(handle, file.nbytes)
                _write_all(handle, 0, header)
            finally:
                filesystem.close(handle)

    def write(self, file: str, offset: int, data: NDArray[Any] | bytes) -> None:
        """Writes `data` at `offset` of `file`."""
        with naming(self.partial / file):
            _write_all(self._handle(file), offset, data)

    def sync(self, file: str) -> None:
        """Returns when all that was written to `file` is on the disk.

        A disk that is found full here is an error like any other: what could not be written is lost, and not to be had again.
        """
        with naming(self.partial / file, again=False):
            handle = filesystem.open_for_writing(self.partial / file)
            try:
                filesystem.fsync(handle)
            finally:
                filesystem.close(handle)

    def sync_names(self) -> None:
        """Returns when the names of all files are on the disk: a synced file that nothing names is lost."""
        with naming(self.partial, again=False):
            filesystem.fsync_folder(self.partial)

    def write_whole(self, name: str, data: bytes | bytearray) -> None:
        """Writes a small file and syncs it."""
        path = self.partial / name
        with naming(path):
            handle = self._fresh(path)
            try:
                _write_all(handle, 0, data)
                filesystem.fsync(handle)
            finally:
                filesystem.close(handle)

    def copy(self, source: Path, name: str) -> None:
        """Carries `source` over as `name` and syncs it. Raises SourceError where it cannot be read."""
        path, buffer, at = self.partial / name, bytearray(_COPY_BLOCK), 0
        view = memoryview(buffer)
        with naming(source, "cannot be read", SourceError):
            stream = filesystem.open_for_reading(source)
        with stream, naming(path):
            handle = self._fresh(path)
            try:
                while True:
                    with naming(source, "cannot be read", SourceError):
                        count = filesystem.read_into(stream, at, view)
                    if not count:
                        break
                    _write_all(handle, at, view[:count])
                    at += count
                filesystem.fsync(handle)
            finally:
                filesystem.close(handle)

    def publish(self) -> tuple[Path, ...]:
        """Makes the partial folder the output, by one rename. Returns what could not be removed afterwards: the result is whole."""
        self.close()
        with naming(self.partial):
            for folder in {path.parent for path in self.partial.rglob("*")}:
                filesystem.fsync_folder(folder)
        with naming(self.output, "cannot be put in place"):
            moved = self.output.exists()
            if moved:
                filesystem.rename(self.output, self.partial / REPLACED)
            try:
                filesystem.rename(self.partial, self.output)
            except OSError:
                if moved:
                    filesystem.rename(self.partial / REPLACED, self.output)
                raise
            filesystem.fsync_folder(self.output.parent)
        for name in leftovers(self.output):
            with suppress(OSError):
                filesystem.remove(self.output / name)
        return tuple(self.output / name for name in leftovers(self.output))

    def close(self) -> None:
        with self._lock:
            for handle in self._handles:
                filesystem.close(handle)
            self._handles.clear()
        self._local = threading.local()

    def _fresh(self, path: Path) -> int:
        """An empty file, in a folder that is made where it is not there."""
        filesystem.make_folder(path.parent)
        handle = filesystem.open_for_writing(path, create=True)
        try:
            filesystem.truncate(handle, 0)
        except BaseException:
            filesystem.close(handle)
            raise
        return handle

    def _handle(self, file: str) -> int:
        handles: dict[str, int] | None = getattr(self._local, "handles", None)
        if handles is None:
            handles = self._local.handles = {}
        if file not in handles:
            handles[file] = filesystem.open_for_writing(self.partial / file)
            with self._lock:
                self._handles.append(handles[file])
        return handles[file]


def _write_all(handle: int, offset: int, data: NDArray[Any] | bytes | bytearray | memoryview) -> None:
    view = memoryview(cast("Buffer", data)).cast("B")
    while view:
        count = filesystem.write_at(handle, offset, view)
        view, offset = view[count:], offset + count
