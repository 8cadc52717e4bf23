"""What the system says of a file, as one of our errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qtquant_app.core.errors import QtQuantError, SourceError, WriteError

DISK_FULL = "disk-full"

_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def naming(
    path: Path, what: str = "cannot be written", kind: type[QtQuantError] = WriteError, *, again: bool = True
) -> Iterator[None]:
    """Turns an OSError into an error that names `path`: code "read" in a SourceError, "write" in others.

    Where there is no room, and it can be tried `again` when there is, the code is "disk-full".
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if kind is SourceError:
            raise SourceError(f"{path} {what}: {reason}", hint="check the disk", code="read") from None
        full = error.errno in _NO_ROOM
        raise kind(
            f"{path} {what}: {reason}",
            hint=("free some space on the drive" if full else "check the drive") + " and go on with --resume",
            code=DISK_FULL if full and again else "write",
        ) from None
