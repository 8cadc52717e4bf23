"""Writes a small file in one step: at its path stands the old one or the new one, never half of it."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_file(path: Path, content: str | bytes) -> None:
    """Writes `content`, text in UTF-8, to `path`, following links.

    A pipe or a device is written into: it is not to be replaced by a file. Raises OSError; nothing is then left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            stream.write(data)
        return
    beside = target.with_name(f"{target.name}.{uuid4().hex[:8]}.part")
    try:
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
