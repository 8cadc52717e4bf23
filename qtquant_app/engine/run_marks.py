"""What a run was made from and with, as its journal keeps it, and what tells it from another run: in words.

The bytes of a result follow from the source, the plan's decisions and the arithmetic. All three are marked, so that a run is gone
on with only where the same bytes come out. The versions of packages are kept to be read, and decide nothing.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qtquant_app import __version__
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, QtQuantError, SourceError, UsageError
from qtquant_app.core.json_reader import Items
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.recipe_diff import ARROW, diff
from qtquant_app.engine import filesystem
from qtquant_app.engine.hub.hashes import hash_in_cache
from qtquant_app.formats import find
from qtquant_app.quant.version import ARITHMETIC

PACKAGES = ("numpy", "numba", "torch")

_SAMPLE = 4096
_AGAIN = "start again with --overwrite"


@dataclass(frozen=True, slots=True)
class FileMark:
    """One weight file of the source, as far as a run looks at it before it reads it."""

    size: int
    mtime_ns: int
    sample: str
    """A hash over the first, middle and last bytes: another fine-tune may have the same size, and by some tools the same time."""


@dataclass(frozen=True, slots=True)
class RunMarks:
    """All that decides the bytes of a result, and the versions and the device it is made with."""

    digest: str
    fingerprint: str
    files: Mapping[str, FileMark]
    recipe: Mapping[str, Any]
    seed: int
    texts: Mapping[str, str]
    """The sha256 of each small file that the plan writes whole."""
    device: str
    arithmetic: int
    layout: int
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunMarks:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError where it is none."""
        files = {str(name): FileMark(**mark) for name, mark in data["files"].items()}
        texts, versions = (dict(data[key]) for key in ("texts", "versions"))
        recipe = _recipe_in(data)
        plain = {key: str(data[key]) for key in ("digest", "fingerprint", "device")}
        counts = {key: int(data[key]) for key in ("seed", "arithmetic", "layout")}
        return cls(files=files, recipe=recipe, texts=texts, versions=versions, **plain, **counts)  # type: ignore[arg-type]


def _recipe_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe, the lists of a large one made: once it is known to be one."""
    recipe = dict(data["recipe"])
    if any(isinstance(value, Items) for value in recipe.values()):
        try:
            Recipe.from_json(recipe)
        except UsageError as error:
            raise ValueError(error.message) from None
    return {key: list(value) if isinstance(value, Items) else value for key, value in recipe.items()}


def marks_of(plan: Plan, checkpoint: Checkpoint) -> RunMarks:
    """The marks of a run that begins now, from a few kilobytes of each weight file. Raises SourceError naming an unreadable one."""
    return RunMarks(
        digest=plan.digest,
        fingerprint=plan.fingerprint,
        files={file: _mark(checkpoint, file) for file in checkpoint.weight_files},
        recipe=plan.recipe.to_json(),
        seed=plan.seed,
        texts={name: hashlib.sha256(text.encode()).hexdigest() for name, text in plan.texts.items()},
        device=plan.device,
        arithmetic=ARITHMETIC,
        layout=find(plan.format).layout_version,
        versions=versions_of(plan.device),
    )


def versions_of(device: str) -> dict[str, str]:
    """QtQuant's version and those of the packages that a run on `device` calculates with."""
    found = {"qtquant": __version__}
    for package in PACKAGES if device != "cpu" else PACKAGES[:2]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def who_and_when() -> dict[str, Any]:
    """This process, for whoever finds the run's folder locked."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "began": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def check_same(was: RunMarks, now: RunMarks, place: Path) -> None:
    """Raises PlanError or SourceError naming what differs, where going on with the run in `place` would give other bytes.

    What it was made with comes first, then what it was made from, then how.
    """
    for message, hint, code in _differences(was, now):
        kind: type[QtQuantError] = SourceError if code == "source-changed" else PlanError
        raise kind(f"{place} holds an unfinished run {message}", hint=hint, code=code)


def check_unchanged(marks: RunMarks, checkpoint: Checkpoint) -> None:
    """Raises SourceError naming a weight file that is not what it was when the run began."""
    for file, mark in marks.files.items():
        size, mtime_ns = _size_and_time(checkpoint, file)
        if (size, mtime_ns) != (mark.size, mark.mtime_ns):
            raise SourceError(
                f"{file} has changed while it was being read",
                hint="what was written is of two sources: start again with --overwrite",
                code="source-changed",
            )


def _differences(was: RunMarks, now: RunMarks) -> Iterator[tuple[str, str, str]]:
    """What differs, as the end of a sentence, a hint and a code."""
    made = was.versions.get("qtquant", "an unknown version")
    if (was.arithmetic, was.layout) != (now.arithmetic, now.layout):
        part = "arithmetic" if was.arithmetic != now.arithmetic else "layout"
        text = f"of QtQuant {made}, whose {part} is not that of this version ({now.versions.get('qtquant')})"
        yield text, f"go on with that version, or {_AGAIN}", "other-version"
    yield from _source_differences(was, now)
    yield from _plan_differences(was, now)
    if _kind(was.device) != _kind(now.device):
        text = f"on the device {was.device}, and this one is to run on {now.device}: their results may differ"
        yield text, f"go on with --device {was.device}, or {_AGAIN}", "other-device"
    if was.digest != now.digest:
        yield f"of another plan, made by QtQuant {made}", _AGAIN, "other-plan"


def _source_differences(was: RunMarks, now: RunMarks) -> Iterator[tuple[str, str, str]]:
    for file in [*was.files, *(name for name in now.files if name not in was.files)]:
        old, new = was.files.get(file), now.files.get(file)
        if old != new:
            hint = f"put the source back as it was, or {_AGAIN}"
            yield f"of a source that has changed: {file} {_changed(old, new)}", hint, "source-changed"
    if was.fingerprint != now.fingerprint:
        yield "of a source whose files hold other tensors now", _AGAIN, "source-changed"


def _changed(old: FileMark | None, new: FileMark | None) -> str:
    if old is None or new is None:
        return "was not there then" if old is None else "is not there now"
    if old.size != new.size:
        return f"has {new.size:,} bytes and had {old.size:,}"
    if old.mtime_ns != new.mtime_ns:
        return f"was written at {_time(new.mtime_ns)}, the one then at {_time(old.mtime_ns)}"
    return "holds other bytes"


def _plan_differences(was: RunMarks, now: RunMarks) -> Iterator[tuple[str, str, str]]:
    hint = f"ask for what that run was asked for, or {_AGAIN}"
    old, new = (marks.recipe.get("nonfinite", "refuse") for marks in (was, now))
    if old not in ("refuse", new):  # a run that refuses has met nothing that another policy would have changed
        yield f"of another plan, weights that are not finite: {old} {ARROW} {new}", hint, "other-plan"
    if was.digest == now.digest:
        return
    told = "; ".join(f"{what}: {how}" for what, how in _recipe_lines(was, now)[:3])
    if told:
        yield f"of another plan, {told}", hint, "other-plan"
    if was.seed != now.seed:
        yield f"of another plan, seed: {was.seed} {ARROW} {now.seed}", hint, "other-plan"
    for name in sorted({*was.texts, *now.texts}):
        if was.texts.get(name) != now.texts.get(name):
            yield f"of another plan: {name} would not be the same", hint, "other-plan"


def _recipe_lines(was: RunMarks, now: RunMarks) -> tuple[tuple[str, str], ...]:
    try:
        return diff(Recipe.from_json(was.recipe), Recipe.from_json(now.recipe)).lines()
    except QtQuantError as error:
        return (("recipe", error.message),)


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _time(mtime_ns: int) -> str:
    return datetime.fromtimestamp(mtime_ns / 1e9).strftime("%Y-%m-%d %H:%M:%S.%f")


def _size_and_time(checkpoint: Checkpoint, file: str) -> tuple[int, int]:
    if checkpoint.remote is not None:  # a commit never changes
        return checkpoint.remote.size(file), 0
    try:
        found = (checkpoint.root / file).stat()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the disk", code="read") from None
    return found.st_size, 0 if hash_in_cache(checkpoint.root / file) else found.st_mtime_ns


def _mark(checkpoint: Checkpoint, file: str) -> FileMark:
    size, mtime_ns = _size_and_time(checkpoint, file)
    if checkpoint.remote is not None:
        return FileMark(size, mtime_ns, checkpoint.remote.mark(file))
    named = hash_in_cache(checkpoint.root / file)
    if named:  # the same mark as before the run fetched it
        return FileMark(size, mtime_ns, named)
    digest, buffer = hashlib.sha256(), bytearray(_SAMPLE)
    try:
        with filesystem.open_for_reading(checkpoint.root / file) as stream:
            for offset in sorted({0, max(0, size // 2), max(0, size - _SAMPLE)}):
                count = filesystem.read_into(stream, offset, memoryview(buffer))
                digest.update(memoryview(buffer)[:count])
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the disk", code="read") from None
    return FileMark(size, mtime_ns, digest.hexdigest())
