"""Finds quantized checkpoints, ours and others', and gathers what is known of each. Reads records and headers alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.coverage import linear_coverage
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.evaluated import evaluations_of
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.job import JobState
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.plan import Plan
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.results import ResultRow, ResultTable, Skipped, table
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.output import PARTIAL, RECORD
from qtquant_app.engine.record import read_record
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import result_plan

_DEEPEST = 4
"""Folders between one that is named and a result in it: the Hub's cache has `models--ORG--NAME/snapshots/COMMIT`."""
_MOST_FOLDERS = 20_000
_MOST_RESULTS = 2_000
_WEIGHTS = (".safetensors", ".gguf")
_CACHED = "models--"


def collect(paths: Sequence[str | Path]) -> Generator[Event, None, ResultTable]:
    """A row for each of `paths`: a result, a quantized checkpoint of somebody else's, a Hub id, or a folder that holds such, as the
    Hub's cache does.

    Float checkpoints within a folder are passed over; whatever else cannot be read is among those skipped, with the reason. Yields
    RunStarted and a ChunkDone for each.
    """
    places = list(_places(paths))
    yield RunStarted(len(places), len(places))
    seconds = _seconds()
    rows: list[ResultRow] = []
    skipped: list[Skipped] = []
    for place, named in places:
        try:
            found = _row(place, seconds)
        except QtQuantError as error:
            skipped.append(Skipped(place, error.message))
        else:
            rows += [found] if found is not None else []
            skipped += [Skipped(place, "is not quantized")] if found is None and named else []
        yield ChunkDone(place, 1)
    return table(rows, skipped)


def _places(paths: Sequence[str | Path]) -> Iterator[tuple[str, bool]]:
    """What to look at, each once, and whether it was named itself."""
    seen: set[str] = set()
    for path in paths:
        folder = Path(path).expanduser()
        inside = [] if not folder.is_dir() or _holds_weights(folder) else list(_within(folder))
        itself: list[str | Path] = [folder if folder.exists() else path]
        for place in inside or itself:
            key = os.path.realpath(place)
            if key not in seen and len(seen) < _MOST_RESULTS:
                seen.add(key)
                yield str(place), not inside


def _within(folder: Path) -> Iterator[Path]:
    """Folders under it that hold weights, in the order of their names; nothing within such a folder is looked for."""
    waiting, looked = [(folder, 0)], 0
    while waiting and looked < _MOST_FOLDERS:
        at, depth = waiting.pop(0)
        looked += 1
        for name in _folders(at):
            below = at / name
            if _holds_weights(below):
                yield below
            elif depth + 1 < _DEEPEST:
                waiting.append((below, depth + 1))


def _folders(folder: Path) -> list[str]:
    """No hidden ones, no unfinished runs, and no links, which may lead in circles."""
    with suppress(OSError), os.scandir(folder) as entries:
        plain = (e.name for e in entries if e.is_dir(follow_symlinks=False))
        return sorted(name for name in plain if not name.startswith(".") and not name.endswith(PARTIAL))
    return []


def _holds_weights(folder: Path) -> bool:
    with suppress(OSError), os.scandir(folder) as entries:
        return any(entry.name == RECORD or entry.name.endswith(_WEIGHTS) for entry in entries)
    return False


def _row(place: str, seconds: Mapping[str, float]) -> ResultRow | None:
    """None for a checkpoint that nobody quantized. Raises what opening it raises."""
    folder = Path(place)
    if (folder / RECORD).is_file():
        return _own(folder, seconds.get(os.path.realpath(folder)))
    found = open_checkpoint(place)
    return _foreign(found) if found.packed_by else None


def _own(folder: Path, seconds: float | None) -> ResultRow:
    record, plan = read_record(folder), result_plan(folder)
    schemes = Counter[str]()
    for tensor in plan.quantized:
        assert tensor.scheme is not None
        schemes[tensor.scheme.label] += prod(tensor.shape)
    return ResultRow(
        path=str(folder),
        name=_name(folder),
        base=plan.source,
        format=plan.format,
        scheme=schemes.most_common(1)[0][0] if schemes else "",
        methods=tuple(sorted({t.scheme.method for t in plan.quantized if t.scheme is not None})),
        ours=True,
        bytes=sum(file.nbytes for file in plan.files),
        bits_per_weight=plan.bits_per_weight,
        coverage_percent=linear_coverage(plan.tensors),
        relative_error=_relative_error(record, plan),
        evaluations=evaluations_of(record),
        seconds=seconds,
    )


def _relative_error(record: Mapping[str, object], plan: Plan) -> float | None:
    """Of all quantized weights as one; None where the record does not say."""
    try:
        sums = [ErrorSums.from_json(Fields(item).any("sums")) for item in Fields(record).items("tensors")]
    except ValueError:
        return None
    return ErrorSums.added(sums).relative_error if sums and plan.quantized else None


def _foreign(found: Checkpoint) -> ResultRow:
    packed = [tensor for tensor in found.tensors if tensor.packed is not None and tensor.packed.method]
    labels = Counter[str]()
    for tensor in packed:
        assert tensor.packed is not None
        labels[tensor.packed.label] += tensor.parameters
    weights = sum(tensor.parameters for tensor in packed)
    return ResultRow(
        path=str(found.path) if found.remote is None else found.label,
        name=_name(found.path) if found.remote is None else found.label,
        base="",
        format=found.packed_by,
        scheme=labels.most_common(1)[0][0],
        methods=(found.packed_by,),
        ours=False,
        bytes=_file_bytes(found),
        bits_per_weight=8 * sum(tensor.stored_bytes for tensor in packed) / weights if weights else 0.0,
    )


def _file_bytes(found: Checkpoint) -> int:
    with suppress(OSError):
        return sum(map(found.size_of, found.weight_files))
    return found.stored_bytes


def _name(folder: Path) -> str:
    """The last part of a path; in the Hub's cache `org/name@commit`."""
    for above in folder.parents:
        if above.name.startswith(_CACHED):
            return f"{above.name.removeprefix(_CACHED).replace('--', '/')}@{folder.name[:8]}"
    return folder.name or str(folder)


def _seconds() -> dict[str, float]:
    """What each run took that the history of jobs on this machine knows, by where its result is."""
    try:
        jobs = JobStore().jobs().records
    except QtQuantError:
        return {}
    done = [job for job in jobs if job.state is JobState.DONE]
    return {os.path.realpath(job.output): job.seconds for job in reversed(done)}
