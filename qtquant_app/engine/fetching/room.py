"""What fetching a source takes, known before it is begun."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.plan import PlanWarning
from qtquant_app.core.quantities import bytes_text
from qtquant_app.core.remote import Remote
from qtquant_app.engine.fetching import pieces

RAM = pieces.CONNECTIONS * pieces.PIECE * 3 // 2
"""Bytes of memory: a piece for each connection, and half as much for growing buffers and the copy that is handed on."""


def limit_of(sizes: Iterable[int]) -> int:
    """Bytes of weight files that are held at once: the one in work and the next, of which the end waits until the first is gone, so
    that it is always less than two of the largest."""
    largest = max(sizes, default=0)
    return 2 * largest - min(4 * pieces.PIECE, largest // 8)


def download_bytes(checkpoint: Checkpoint) -> int:
    """Bytes that a run transfers to read the whole checkpoint, as far as is known now; 0 where all of it is here."""
    remote = checkpoint.remote
    if remote is None:
        return 0
    files = (*checkpoint.weight_files, *checkpoint.carried_files)
    return sum(remote.missing(file, 0, remote.size(file)) for file in files)


def source_disk_bytes(checkpoint: Checkpoint, *, calibrated: bool) -> int:
    """Room that weight files take at once while a run works on them: all of them where calibration reads them first."""
    remote = checkpoint.remote
    if remote is None:
        return 0
    sizes = [remote.size(file) for file in _away(remote, checkpoint.weight_files)]
    return sum(sizes) if calibrated else min(sum(sizes), limit_of(sizes))


def _away(remote: Remote, files: Iterable[str]) -> list[str]:
    return [file for file in files if not remote.has(file)]


def fetch_warnings(taken: int, *, calibrated: bool) -> tuple[PlanWarning, ...]:
    """What is to be known of a run whose source is elsewhere, beside what it fetches."""
    if not (taken and calibrated):
        return ()
    text = f"calibration reads the whole model first: all {bytes_text(taken)} of its weight files are here until it is done"
    return (PlanWarning("fetched-whole", text),)
