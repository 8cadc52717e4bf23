"""How kernels are compiled: at first use, without the GIL, kept on disk for the next start."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _cache_folder() -> Path | None:
    """A folder for compiled kernels, named by the sources of all of them; None where nothing can be written.

    Numba looks at one file at a time, so a kernel would keep calling what another file held before it was edited.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    digest = hashlib.sha256(sources).hexdigest()[:16]
    for base in _cache_bases():
        folder = base / f"kernels-{digest}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _cache_bases() -> Iterator[Path]:
    """Where the folder may be: where the user told numba, beside the sources, among the user's caches."""
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR)
    if not getattr(sys, "frozen", False):
        yield Path(__file__).parent / "__pycache__"
    yield _user_cache() / "qtquant"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))


_CACHE = _cache_folder()
_DECORATING = threading.Lock()


def compiled(function: F) -> F:
    """Compiles `function` for each new combination of argument types: IEEE arithmetic kept, division unchecked."""
    return _jit(function, fastmath=False)


def compiled_for_pictures(function: F) -> F:
    """As `compiled`, but the terms of a sum may be added in any order: its last digits depend on the machine."""
    return _jit(function, fastmath={"reassoc", "nsz", "contract"})


def _jit(function: F, fastmath: Any) -> F:
    with (
        _DECORATING
    ):  # two threads may import two modules of kernels at once, and the setting is numba's, for all of them
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(_CACHE or "")
        try:
            return cast(
                F, numba.njit(function, nogil=True, error_model="numpy", fastmath=fastmath, cache=_CACHE is not None)
            )
        finally:
            numba.config.CACHE_DIR = before
