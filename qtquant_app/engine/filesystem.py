"""Every call by which a run touches a disk, in one place, so that tests can let each of them fail.

Call these through the module, `filesystem.fsync(handle)`: a name imported from it would not be replaced.
"""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
"""Never through a link: what is written lies in the folder of the run."""


def open_for_reading(path: Path) -> io.FileIO:
    """The file, unbuffered."""
    return io.FileIO(path)


def read_into(stream: io.RawIOBase, offset: int, view: memoryview) -> int:
    """Reads from `offset` on into `view`; the bytes read, fewer than asked for at times, 0 at the end."""
    stream.seek(offset)
    return stream.readinto(view) or 0


def open_for_writing(path: Path, *, create: bool = False, append: bool = False) -> int:
    """A handle that reads and writes."""
    flags = os.O_RDWR | _PLAIN | (os.O_CREAT if create else 0) | (os.O_APPEND if append else 0)
    return os.open(path, flags, 0o644)


def write(handle: int, data: Buffer) -> int:
    """Writes where the handle stands; the bytes written, fewer than asked for at times."""
    return os.write(handle, data)


def write_at(handle: int, offset: int, data: Buffer) -> int:
    """Writes at `offset`; the bytes written, fewer than asked for at times."""
    if hasattr(os, "pwrite"):
        return os.pwrite(handle, data, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.write(handle, data)


def truncate(handle: int, size: int) -> None:
    """Makes the file `size` bytes long."""
    os.ftruncate(handle, size)


def reserve(handle: int, size: int) -> None:
    """Makes the file `size` bytes long, its room taken on the disk where the system can say so."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(handle, 0, size)
    else:
        os.ftruncate(handle, size)


def fsync(handle: int) -> None:
    """Returns when what was written is on the disk."""
    os.fsync(handle)


def fsync_folder(folder: Path) -> None:
    """Makes new names and renames in `folder` durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def close(handle: int) -> None:
    os.close(handle)


def make_folder(folder: Path) -> None:
    """Makes `folder` and those above it, where they are not there."""
    folder.mkdir(parents=True, exist_ok=True)


def rename(old: Path, new: Path) -> None:
    """Nothing is at `new`."""
    old.rename(new)


def remove(path: Path) -> None:
    """Removes a file, a folder with all that is in it, or a link and not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
