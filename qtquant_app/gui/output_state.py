"""What stands where a run wants to write. Looked at in a worker: a network drive may take its time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.recipe import Recipe


class Place(StrEnum):
    FREE = "free"
    OURS = "ours"
    """A folder that QtQuant wrote: it can be replaced."""
    FOREIGN = "foreign"
    """Something else: it is never replaced."""


@dataclass(frozen=True, slots=True)
class OutputState:
    """What is at `path`, and whether an unfinished run lies beside it."""

    path: str
    place: Place = Place.FREE
    unfinished: bool = False
    free_bytes: int | None = None


def look_at(path: str) -> OutputState:
    """Reads the folder entries only."""
    from qtquant_app.engine.journal import NAME as JOURNAL
    from qtquant_app.engine.output import RECORD, partial_of

    output = Path(path).expanduser()
    place = Place.FREE
    if output.exists():
        place = Place.OURS if (output / RECORD).is_file() else Place.FOREIGN
    unfinished = (partial_of(output) / JOURNAL).is_file()
    return OutputState(path, place, unfinished, _free(output))


def _free(output: Path) -> int | None:
    parent = output.absolute()
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    try:
        return shutil.disk_usage(parent).free
    except OSError:
        return None


def suggest(checkpoint: Checkpoint, recipe: Recipe, parent: str, taken: Collection[str] = ()) -> str:
    """A folder in `parent` named after the checkpoint and the scheme, `sample-w4-g64-sym`, that is none of `taken`."""
    name = checkpoint.label.rstrip("/\\").replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
    path = str(Path(parent) / f"{plain}-{recipe.default.label.lower().replace(' ', '-')}")
    names = (path if number == 1 else f"{path}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def default_parent() -> str:
    """Where results go until another place is chosen: a folder in the user's home."""
    return str(Path.home() / "QtQuant")
