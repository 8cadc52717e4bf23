"""A lock on a file that lasts as long as the process that holds it, however that ends.

The system's own lock on an open file keeps other processes out; a set of paths keeps out the other threads of this one, where the
system's lock is the process's. Where the drive knows no locks, as some network drives, only the set is left, and `Lock.shared` is
False.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

from qtquant_app.engine import filesystem

_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, getattr(errno, "ENOTSUP", errno.ENOSYS), errno.EOPNOTSUPP)
"""What a drive answers that cannot lock."""

_held: set[str] = set()
_guard = threading.Lock()


class Lock:
    """A lock that is held. Release it, or end the process."""

    def __init__(self, key: str, handle: int, *, shared: bool) -> None:
        self.shared = shared
        """Whether other processes are kept out too."""
        self._key = key
        self._handle: int | None = handle

    def release(self) -> None:
        """Lets go; a second call does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            with _guard:
                _held.discard(self._key)


def take(path: Path) -> Lock | None:
    """Locks the file at `path`, which is made where it is not there; None where it is locked already, in this process or another.

    Raises OSError where the file cannot be opened.
    """
    key = os.path.realpath(path)
    with _guard:
        if key in _held:
            return None
        _held.add(key)
    try:
        lock = _lock(path, key)
    except BaseException:
        with _guard:
            _held.discard(key)
        raise
    if lock is None:
        with _guard:
            _held.discard(key)
    return lock


def _lock(path: Path, key: str) -> Lock | None:
    handle = filesystem.open_for_writing(path, create=True)
    try:
        shared = _lock_handle(handle)
        # Whoever held it may have renamed or removed the file before it let go.
        if os.path.samestat(os.fstat(handle), path.stat()):
            return Lock(key, handle, shared=shared)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 62
    """Locked bytes cannot be read by others, so the byte lies where no file has one."""

    def _lock_handle(handle: int) -> bool:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise BlockingIOError(error.errno, error.strerror) from None
            if error.errno not in _UNKNOWN:
                raise
            return False
        return True

else:
    import fcntl

    def _lock_handle(handle: int) -> bool:
        # flock and not lockf: that one is the process's, and is lost when the process closes the file anywhere.
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            return False
        return True
