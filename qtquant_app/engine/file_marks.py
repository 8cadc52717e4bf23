"""Tells whether a file is the one it was: by size, time stamps and place on the disk, without reading it, as git's index does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from time import time_ns

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.remote import Remote

_SETTLED = 2_000_000_000
"""Nanoseconds after which a file's time stamp tells a later change apart: some file systems count in whole seconds, FAT in two."""

Mark = tuple[str, int, int, int, int, int]


@dataclass(slots=True)
class FileMarks:
    """The marks of the files of one checkpoint, each taken when it was first asked for."""

    root: Path
    remote: Remote | None = None
    """Whose files they are, where they are not in `root`."""
    _marks: dict[str, Mark | None] = field(default_factory=dict)
    _settled: dict[str, bool] = field(default_factory=dict)
    _begun: dict[str, hashlib._Hash | None] = field(default_factory=dict)
    """The hash of each mark, to go on from."""

    def key(self, tensor: TensorInfo, words: str) -> bytes | None:
        """A key for the bytes of `tensor` in the file as it is now, read as `words` say; None where there is no file."""
        if tensor.file not in self._begun:
            mark = self._mark(tensor.file)
            self._begun[tensor.file] = mark and hashlib.sha256(str(mark).encode("utf-8", "backslashreplace"))
        begun = self._begun[tensor.file]
        if begun is None:
            return None
        digest = begun.copy()
        if tensor.packed is not None:
            digest.update(f" {tensor.packed.place}".encode("utf-8", "backslashreplace"))
        if tensor.part is not None and not tensor.part.in_one_piece:
            digest.update(f" {tensor.part.place}".encode())
        digest.update(f" {tensor.offset} {tensor.nbytes} {tensor.dtype} {tensor.shape} {words}".encode())
        return digest.digest()

    def unchanged(self, tensor: TensorInfo) -> bool:
        """Whether the file of `tensor` still has the mark it had."""
        return self.remote is not None or self._mark(tensor.file) == _mark_of(self.root / tensor.file)

    def settled(self, tensor: TensorInfo) -> bool:
        """Whether any change of the file after its mark was taken would give it another."""
        return self._mark(tensor.file) is not None and self._settled[tensor.file]

    def _mark(self, file: str) -> Mark | None:
        if file not in self._marks:
            mark = self._marks[file] = _mark_of(self.root / file) if self.remote is None else _named(self.remote, file)
            self._settled[file] = mark is not None and time_ns() - mark[2] > _SETTLED
        return self._marks[file]


def _named(remote: Remote, file: str) -> Mark:
    """The mark of a file of a commit, which never changes: what it is called, and the hash of what it holds."""
    return f"{remote.name} {file} {remote.mark(file)}", remote.size(file), 0, 0, 0, 0


def _mark_of(path: Path) -> Mark | None:
    try:
        real = path.resolve()
        found = real.stat()
    except OSError:
        return None
    return str(real), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev
