"""The log of this program: one file in the user's state folder that rotates, masked. Set up by front ends, and by nobody else."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from qtquant_app.core.escaping import visible
from qtquant_app.core.masking import masked
from qtquant_app.core.trail import LOGGER_NAME

LOG = "qtquant.log"
LOG_BYTES = 1_000_000
OLD_LOGS = 2
REPORTS = 10
"""So many reports of failures are kept; older ones go."""
TAIL_BYTES = 64 << 10


def log_folder() -> Path:
    """Where logs and reports are: `logs` in the folder that QTQUANT_CACHE names, or where this system keeps a user's logs."""
    given = os.environ.get("QTQUANT_CACHE")
    if given:
        return Path(given) / "logs"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "qtquant" / "logs"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "qtquant"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "qtquant" / "logs"


@contextmanager
def logging_to_file() -> Iterator[None]:
    """While it lasts, what is logged goes to the log file. Where that cannot be written, nowhere: no run fails for its log."""
    logger = logging.getLogger(LOGGER_NAME)
    level = logger.level
    try:
        folder = log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = _File(
            folder / LOG, maxBytes=LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8", delay=True
        )
    except (OSError, RuntimeError):  # RuntimeError: nobody's home
        handler = logging.NullHandler()
    handler.setFormatter(_Masked("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


class _File(RotatingFileHandler):
    """Another process may write to the same file, or the disk may be full: then a line is missing, and no more than that."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Says nothing: stderr belongs to the command."""

    def doRollover(self) -> None:
        with suppress(OSError):  # Windows renames no file that another process has open
            super().doRollover()


class _Masked(logging.Formatter):
    """Masks the whole entry, its traceback included. A name with a line end in it must not look like an entry of its own."""

    def format(self, record: logging.LogRecord) -> str:
        first, *others = masked(super().format(record)).splitlines() or [""]
        return "\n".join([visible(first), *(f"    {visible(line)}" for line in others)])


def log_tail(process: int | None = None) -> list[str]:
    """The last lines of the log, or of it those of one process; none where there is no log."""
    try:
        with (log_folder() / LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except (OSError, RuntimeError):
        return []
    if process is None:
        return lines
    return [line for line in lines if re.match(rf"\S+ \S+ {process} ", line)]


def save_report(text: str) -> Path | None:
    """Writes the report of a failure into the log folder; its path, or None where that cannot be. Never raises."""
    try:
        folder = log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("crash-*.txt"))[: -REPORTS + 1 or None]:
            old.unlink(missing_ok=True)
        path = folder / f"crash-{datetime.now():%Y%m%d-%H%M%S-%f}.txt"
        path.write_text(text, encoding="utf-8")
    except (OSError, RuntimeError):
        return None
    return path
