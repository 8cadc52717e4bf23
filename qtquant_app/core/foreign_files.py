"""Files that somebody else made: read no further than they may be long, and never from outside the folder they belong to."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import shown

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_FORBIDDEN = frozenset('<>:"\\|?*')
_LONGEST = 255
"""Bytes of one part of a path, on the usual file systems."""


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a regular file. Raises what `open_bounded` does."""
    with open_bounded(path, most) as stream:
        return stream.read(os.fstat(stream.fileno()).st_size)


def open_bounded(path: Path, most: int) -> BinaryIO:
    """A regular file, open for reading. Raises OSError where it cannot be read, is longer than `most` bytes, or is no file: a pipe
    or a device has no end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    stream = os.fdopen(handle, "rb")
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_size <= most:
        return stream
    stream.close()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is not a regular file")
    raise OSError(0, f"it has {found.st_size:,} bytes, more than any such file needs")


def portable(name: object) -> str | None:
    """Why `name` cannot be the path of a file within a folder, on any system; None where it can.

    Files called so are refused before they are looked for: `..`, absolute paths, drive letters and backslashes, the names that
    Windows gives to devices, control characters, endings that Windows drops, parts too long to exist.
    """
    if not isinstance(name, str) or not name:
        return "is no file name"
    if name.startswith("/") or any(c in _FORBIDDEN or not c.isprintable() for c in name):
        return "is no path within a folder"
    for part in PurePosixPath(name).parts:
        if part == ".." or part.endswith((".", " ")) or _RESERVED.fullmatch(part):
            return "is no path within a folder"
        if len(part.encode("utf-8", "replace")) > _LONGEST:
            return "is too long for a file name"
    return None


def stays_inside(root: Path, file: str) -> bool:
    """Whether `root/file`, its links followed, lies in `root`, or among the blobs of the Hub's cache where `root` is a snapshot."""
    at = root
    for part in PurePosixPath(file).parts:
        at = at / part
        if at.is_symlink():
            break
    else:
        return True  # no link on the way: nothing to follow
    real, folder = Path(os.path.realpath(root / file)), Path(os.path.realpath(root))
    return real.is_relative_to(folder) or any(real.is_relative_to(blobs) for blobs in _blobs(folder))


def _blobs(folder: Path) -> tuple[Path, ...]:
    """`models--org--name/blobs` for `models--org--name/snapshots/REVISION`."""
    repository = folder.parent.parent
    ours = folder.parent.name == "snapshots" and "--" in repository.name
    return (repository / "blobs",) if ours else ()


def check_inside(root: Path, file: str) -> None:
    """Raises SourceError naming the file where it is a link that leads out of `root`."""
    if not stays_inside(root, file):
        raise SourceError(
            f"{shown(file)} is a link that leads outside the model's folder",
            hint="open the folder it leads to, or put a copy in its place",
            code="outside",
        )
