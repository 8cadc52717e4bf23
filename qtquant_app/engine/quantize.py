"""Carries a plan out: a generator of events that ends in a report.

Cancel it with `close()`; pause it by not asking for the next event. Whatever stops it leaves OUT.partial with a journal that
`resume` goes on from, and never an OUT that is not whole.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic

from qtquant_app.core.calibration import CalibrationReport
from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.coverage import linear_coverage
from qtquant_app.core.errors import QtQuantError, SourceError, WriteError
from qtquant_app.core.events import (
    ChunkDone,
    Event,
    FileTransferred,
    RunStarted,
    ShardWritten,
    StageChanged,
    TensorDone,
    TensorKept,
    Warned,
)
from qtquant_app.core.folding import Folding
from qtquant_app.core.plan import OutFile, Plan, RunOptions, TensorPlan
from qtquant_app.core.quantities import plural
from qtquant_app.core.report import Coverage, ErrorSums, Forecast, RunReport, Shortages, TensorReport
from qtquant_app.engine.claim import Claim, claimed
from qtquant_app.engine.commit import Committer, sha256_of
from qtquant_app.engine.containers import container_of
from qtquant_app.engine.cost import Cut
from qtquant_app.engine.experts.splitting import as_planned
from qtquant_app.engine.faults import DISK_FULL
from qtquant_app.engine.fetching.source import Source, needs_all, open_source, remove_folder, through
from qtquant_app.engine.forecast import fitted
from qtquant_app.engine.importance import with_statistics
from qtquant_app.engine.journal import Past
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.memory import device_peak_bytes, give_back, peak_bytes, watch_device
from qtquant_app.engine.output import RECORD, OutputFolder
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.record import Found, record_bytes
from qtquant_app.engine.room import Room
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.tensor_tasks import Work, again, attempt, left_of, tasks_of
from qtquant_app.engine.tensor_work import Gathering, Piece
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.engine.undo import undo
from qtquant_app.engine.verify import MismatchError, Tables, compare_tensors, compare_with_source
from qtquant_app.formats import Format, find


def run(plan: Plan, options: RunOptions) -> Generator[Event, None, RunReport]:
    """Quantizes, writes, verifies and publishes what `plan` says into `options.output`.

    Raises QtQuantError: PlanError before anything is written, SourceError naming a tensor that cannot be quantized,
    WriteError, VerifyError where the reopened files are not what was meant.
    """
    try:
        report = yield from _run(plan, options)
    except OSError as error:
        raise WriteError(
            f"{error.filename or options.output} cannot be written: {error.strerror or error}",
            hint="check the drive and go on with --resume",
            code="write",
        ) from None
    return report


def _run(plan: Plan, options: RunOptions) -> Generator[Event, None, RunReport]:
    started = monotonic()
    cut, predicted = fitted(plan, options)
    output = Path(options.output)
    checkpoint = reopen(plan)
    with claimed(plan, checkpoint, options) as claim:
        yield from claim.begin()
        with open_source(checkpoint, plan, claim.past, options, claim.out.partial) as source:
            state = _State(plan, source.checkpoint, claim.past)
            yield from _carried_out(state, source, claim, options, cut)
            yield from source.small_here()
        remove_folder(claim.out.partial)
        yield StageChanged("finish")
        claim.check_source()
        yield from _finish(state, claim, options)
    return _report(state, output, options, predicted, monotonic() - started)


def _carried_out(
    state: _State, source: Source, claim: Claim, options: RunOptions, cut: Cut
) -> Generator[Event, None, None]:
    """Writes every weight file, and verifies it as `options` say."""
    _restore(state)
    plan, out = state.plan, claim.out
    committer = Committer(out, claim.journal)
    watch_device(plan.device)
    format, ceiling = find(plan.format), plan.max_device_memory
    try:
        with open_tools(state.checkpoint, format, plan.device, cut=cut, max_device_memory=ceiling) as tools:
            yield from claim.warnings
            if needs_all(plan, claim.past):
                yield from source.all_here()
            tools = yield from _calibrated(state, tools, out)
            try:
                yield from _quantize(state, out, tools, committer, options, source)
                give_back()
                yield StageChanged("write" if options.verify == "none" else "verify")
                if options.verify != "none":
                    # Verification reads while the last files are still being hashed.
                    quick, rest = options.verify == "quick", () if source.comes_and_goes else None
                    yield from compare_with_source(tools, out.partial, plan, state.errors, quick=quick, tensors=rest)
            except MismatchError as error:
                raise (yield from undo(error, plan, committer, Room(out.output.parent))) from None
            state.shortages = tools.shortages()
        yield from _written(state, out, committer, wait=True)
    finally:
        out.close()
        committer.close()


@dataclass
class _State:
    """What is known of the run so far."""

    plan: Plan
    checkpoint: Checkpoint
    past: Past | None
    errors: dict[str, ErrorSums] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    shortages: Shortages = field(default_factory=Shortages)
    calibration: CalibrationReport | None = None
    foldings: Mapping[str, Folding] = field(default_factory=dict)

    @property
    def done(self) -> Mapping[str, ErrorSums | None]:
        return self.past.tensors if self.past else {}


def reopen(plan: Plan) -> Checkpoint:
    """The plan's source. Raises SourceError where it is no longer what was planned."""
    checkpoint = open_checkpoint(plan.source)
    if checkpoint.fingerprint != plan.fingerprint:
        raise SourceError(
            f"{plan.label} has changed since it was planned", hint="make the plan again", code="source-changed"
        )
    planned = with_statistics(as_planned(checkpoint, (tensor.name for tensor in plan.tensors)), plan.statistics)
    if planned.statistics.sha256 != plan.statistics_sha256:
        raise SourceError(
            f"{plan.statistics} has changed since the plan was made", hint="make the plan again", code="source-changed"
        )
    return planned


def _quantize(
    state: _State, out: OutputFolder, tools: Tools, committer: Committer, options: RunOptions, source: Source
) -> Generator[Event, None, None]:
    total = sum(t.source_bytes for t in state.plan.tensors if t.name not in state.done and t.bytes)
    if options.verify == "full":
        kept = state.past.verified if state.past and source.comes_and_goes else {}
        total += sum(t.source_bytes for t in state.plan.tensors if t.bytes and kept.get(t.name) != "full")
    yield RunStarted(len(state.plan.tensors), total, len(state.done))
    for warning in state.plan.warnings:
        yield Warned(warning.code, warning.text)
    yield StageChanged("quantize")
    yield from _allocate(state, out)
    work = Work(out, tools, committer, by_source(state.plan.files), {t.name: t for t in state.plan.tensors})
    left = left_of(state.plan.files, state.done)
    for file in [name for name, count in left.items() if not count and name not in state.sha256]:
        yield from work.room.needed(partial(committer.shard_done, file), committer.retry)
    for batch in source.batches:
        for event in source.here(batch):
            yield event
            yield from _written(
                state, out, committer
            )  # what has no room in the journal keeps a shard from being dropped
        yield from through(_tensors(state, work, [t for t in batch.tensors if t.name not in state.done], left), source)
        if source.comes_and_goes:
            yield from through(_compared(state, work, batch.tensors, options), source)
            names = [tensor.name for tensor in batch.tensors] if options.verify != "none" else []
            committer.compared(names, options.verify, source.let_go(batch))


def _compared(
    state: _State, work: Work, tensors: Sequence[TensorInfo], options: RunOptions
) -> Generator[Event, None, None]:
    """Verifies tensors while their source is here."""
    if options.verify != "none":
        tables, quick = Tables(work.places, work.planned), options.verify == "quick"
        yield from compare_tensors(
            work.tools, work.out.partial, state.plan, state.errors, tensors, quick=quick, tables=tables
        )


def _calibrated(state: _State, tools: Tools, out: OutputFolder) -> Generator[Event, None, Tools]:
    """`tools` with what calibration found, where the plan needs it; they read the checkpoint folded then."""
    if state.plan.calibration is None:
        return tools
    from qtquant_app.engine.calibrate.run import calibrated

    found = yield from calibrated(state.plan, state.checkpoint, tools, out)
    state.calibration, state.foldings = found.report, found.solutions.foldings
    give_back()
    return replace(tools, solutions=found.solutions)


def _restore(state: _State) -> None:
    for name, errors in state.done.items():
        if errors is not None:
            state.errors[name] = errors
    if state.past is not None:
        state.sha256.update(state.past.shards)


def _allocate(state: _State, out: OutputFolder) -> Generator[Event, None, None]:
    """Gives every file still to write its size and its header.

    A header is written again on resume: a crash may have come between the one and the other.
    """
    format, room = find(state.plan.format).bound(state.checkpoint), Room(out.output.parent)
    container = container_of(format)
    for file in state.plan.files:
        path, header = out.partial / file.name, container.header(file, format)
        if state.past is not None and path.exists() and path.stat().st_size == file.nbytes:
            if file.name not in state.sha256:
                yield from room.needed(partial(out.write, file.name, 0, header))
        elif any(tensor.source in state.done for tensor in file.tensors if tensor.source):
            raise WriteError(
                f"{path} is not as the journal left it", hint="start again with --overwrite", code="journal"
            )
        else:
            yield from room.needed(partial(out.allocate, file, header))
        if file.name not in state.sha256:
            yield from _made(file, format, out, room)
    yield from room.needed(out.sync_names)


def _made(file: OutFile, format: Format, out: OutputFolder, room: Room) -> Generator[Event, None, None]:
    """Writes the tensors that come of no tensor of the source: they are small."""
    for tensor in file.tensors:
        if tensor.role == "made":
            data = format.made()[tensor.name][2]
            yield from room.needed(partial(out.write, file.name, tensor.offset, data))


def _tensors(
    state: _State, work: Work, todo: Sequence[TensorInfo], left: dict[str, int]
) -> Generator[Event, None, None]:
    """Quantizes or keeps tensors, in the order of the files; `left` counts what is still to do of each."""
    out, tools, committer, room = work.out, work.tools, work.committer, work.room
    places, planned = work.places, work.planned
    tasks = (partial(attempt, task) for task in tasks_of(work, todo, state.plan.recipe.nonfinite))
    gathering: Gathering | None = None
    for found in ordered(tools.pool, tools.window, tasks):
        piece = (
            found if isinstance(found, Piece) else (yield from room.awaited(found.error, partial(again, tools, found)))
        )
        tensor, plan = piece.tensor, planned[piece.tensor.name]
        yield ChunkDone(tensor.name, piece.bytes)
        yield from tools.warnings()
        if plan.scheme is not None:
            gathering = gathering or Gathering(tools, out, tensor, plan.scheme, places[tensor.name])
            gathering.take(piece)
            yield from room.needed(gathering.write)
        if not piece.last:
            continue
        yield from _complete(state, plan, gathering)
        gathering = None
        file = next(iter(places[tensor.name].values()))[0].name
        done = partial(committer.tensor_done, file, tensor.name, state.errors.get(tensor.name))
        yield from room.needed(done, committer.retry)
        left[file] -= 1
        if not left[file]:
            yield from room.needed(partial(committer.shard_done, file), committer.retry)
        yield from _written(state, out, committer)


def _complete(state: _State, plan: TensorPlan, gathering: Gathering | None) -> Iterator[Event]:
    if plan.scheme is None or gathering is None:
        yield TensorKept(plan.name, plan.bytes)
        return
    errors = state.errors[plan.name] = gathering.errors()
    if errors.repaired:
        weights = plural(errors.repaired, "weight")
        yield Warned("repaired", f"{plan.name}: {weights} not finite in the source, replaced")
    yield TensorDone(TensorReport(plan.name, plan.scheme, plan.bytes, errors))


def _written(
    state: _State, out: OutputFolder, committer: Committer, *, wait: bool = False
) -> Generator[Event, None, None]:
    sizes, room = {file.name: file.nbytes for file in state.plan.files}, Room(out.output.parent)
    while True:
        try:
            for file, digest in committer.finished_shards(wait=wait):
                state.sha256[file] = digest
                yield ShardWritten(file, sizes[file], digest)
            return
        except WriteError as error:
            if error.code != DISK_FULL:
                raise
            full = error
        yield from room.awaited(full, committer.retry)


def _finish(state: _State, claim: Claim, options: RunOptions) -> Generator[Event, None, None]:
    """Config, index and what is carried over come last, then the record, then the rename."""
    out = claim.out
    room = Room(out.output.parent)
    for name, size in state.plan.copied.items():
        yield from room.needed(partial(out.copy, state.checkpoint.local(name), name))
        state.sha256[name] = sha256_of(out.partial / name)
        yield FileTransferred(name, size)
    for name, text in state.plan.texts.items():
        yield from room.needed(partial(out.write_whole, name, text.encode()))
        state.sha256[name] = sha256_of(out.partial / name)
    found = None if state.calibration is None else Found(state.calibration, state.foldings)
    record = record_bytes(state.plan, _tensor_reports(state), state.sha256, options.verify, found)
    yield from room.needed(partial(out.write_whole, RECORD, record))
    yield from claim.publish()


def _tensor_reports(state: _State) -> list[TensorReport]:
    return [
        TensorReport(t.name, t.scheme, t.bytes, state.errors[t.name])
        for t in state.plan.tensors
        if t.scheme is not None
    ]


def _report(state: _State, output: Path, options: RunOptions, predicted: Forecast, seconds: float) -> RunReport:
    plan = state.plan
    names = [*(file.name for file in plan.files), *plan.texts]
    written = sum((output / name).stat().st_size for name in names)
    if written != plan.output_bytes:
        raise QtQuantError(f"{output} has {written} bytes where {plan.output_bytes} were planned", code="internal")
    quantized = len(plan.quantized)
    return RunReport(
        output=str(output),
        format=plan.format,
        output_bytes=written,
        bits_per_weight=plan.bits_per_weight,
        seconds=round(seconds, 3),
        peak_ram_bytes=peak_bytes(),
        coverage=Coverage(quantized, len(plan.tensors) - quantized, round(linear_coverage(plan.tensors), 3)),
        tensors=tuple(_tensor_reports(state)),
        verified=options.verify == "full",
        sha256=dict(sorted(state.sha256.items())),
        disk_bytes=written + sum((output / name).stat().st_size for name in plan.copied),
        peak_device_bytes=device_peak_bytes(plan.device),
        predicted=predicted,
        max_memory=plan.max_memory,
        max_device_memory=plan.max_device_memory,
        shortages=state.shortages,
    )
