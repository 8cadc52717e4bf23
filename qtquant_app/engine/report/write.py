"""Scans a checkpoint and writes the page."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, UsageError, WriteError
from qtquant_app.core.events import Event, StageChanged
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.report.page import GENERATOR, page
from qtquant_app.engine.report.worst import worst_cards
from qtquant_app.engine.scan import scan
from qtquant_app.engine.whole_file import write_file

_HEAD_BYTES = 1024
"""Where a page of ours says so."""


def report(
    checkpoint: Checkpoint,
    output: Path,
    schemes: Sequence[Scheme] = DEFAULT_SCHEMES,
    *,
    format: str = "",
    device: str = "auto",
    worst: int = 8,
    overwrite: bool = False,
    cache: bool | Path = True,
) -> Generator[Event, None, Path]:
    """Scans under `schemes` and writes one page with the `worst` tensors drawn; returns where it is. See `engine.scan.scan`.

    The file appears whole or not at all. Raises PlanError where `output` is a file that is no such page, unless `overwrite`
    is set; WriteError where it cannot be written.
    """
    if worst < 0:
        raise UsageError(f"{worst} tensors cannot be shown", hint="give --worst 0 or more", code="usage")
    _check(output, overwrite)
    found = yield from scan(checkpoint, schemes, format=format, device=device, cache=cache)
    cards = yield from worst_cards(checkpoint, found, worst, device)
    yield StageChanged("write")
    _write(output, page(checkpoint, found, cards))
    return output


def _check(output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise PlanError(f"{output} is a folder", hint="name a file, such as report.html", code="exists")
    if not output.parent.is_dir():
        raise PlanError(f"{output.parent} is no folder", hint="make it, or choose another place", code="no-folder")
    if not output.is_file() or overwrite:
        return
    try:
        with output.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise PlanError(
            f"{output} cannot be read: {error.strerror}", hint="choose another file", code="exists"
        ) from None
    if GENERATOR.encode() not in head:
        raise PlanError(
            f"{output} exists and is no report of QtQuant",
            hint="choose another -o, or replace it with --overwrite",
            code="not-ours",
        )


def _write(output: Path, text: str) -> None:
    try:
        write_file(output, text)
    except OSError as error:
        raise WriteError(
            f"{output} cannot be written: {error.strerror}", hint="choose another place", code="write"
        ) from None
