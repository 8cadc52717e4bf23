"""Carries a plan out: a generator of events that ends in a report.

Cancel it with `close()`; pause it by not asking for the next event. Whatever stops it leaves OUT.partial with a journal that
`resume` goes on from, and never an OUT that is not whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import PlanError, QtQuantError, SourceError, WriteError
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
from qtquant_app.core.plan import OutFile, Plan, RunOptions, TensorPlan
from qtquant_app.core.report import Coverage, ErrorSums, Forecast, RunReport, TensorReport
from qtquant_app.engine.commit import Committer, sha256_of
from qtquant_app.engine.cost import estimate
from qtquant_app.engine.journal import Journal, Past, read_journal
from qtquant_app.engine.layout import Decision, by_source, header_of
from qtquant_app.engine.memory import device_peak_bytes, give_back, peak_bytes, watch_device
from qtquant_app.engine.output import RECORD, OutputFolder, check_output, partial_of
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.planner import check_disk, linear_coverage
from qtquant_app.engine.record import record_bytes
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.tensor_work import Piece, Places, gather, keep_pieces, quantize_pieces, write_parameters
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.engine.verify import compare_with_source
from qtquant_app.formats import find


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
    predicted = _forecast(plan, options)
    output = Path(options.output)
    checkpoint = reopen(plan)
    check_output(output, resume=options.resume, overwrite=options.overwrite)
    past = _past(plan, output, options)
    check_disk(output, plan.disk_bytes - _already_there(output) if past else plan.disk_bytes)
    state, out = _State(plan, checkpoint, past), OutputFolder(output)
    committer = Committer(out, _begin(state, out))
    watch_device(plan.device)
    try:
        with open_tools(checkpoint, find(plan.format), plan.device, options.threads, plan.max_memory) as tools:
            yield from _quantize(state, out, tools, committer, options)
            give_back()
            yield StageChanged("write" if options.verify == "none" else "verify")
            if options.verify != "none":
                # Verification reads while the last files are still being hashed.
                yield from compare_with_source(tools, out.partial, plan, state.errors, quick=options.verify == "quick")
        yield from _written(state, committer, wait=True)
    finally:
        out.close()
        committer.close()
    yield StageChanged("finish")
    yield from _finish(state, out, options)
    return _report(state, output, options, predicted, monotonic() - started)


@dataclass
class _State:
    """What is known of the run so far."""

    plan: Plan
    checkpoint: Checkpoint
    past: Past | None
    errors: dict[str, ErrorSums] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

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
    return checkpoint


def _past(plan: Plan, output: Path, options: RunOptions) -> Past | None:
    partial = partial_of(output)
    if not options.resume or not partial.exists():
        return None
    past = read_journal(partial)
    if past.digest and past.digest != plan.digest:
        raise PlanError(
            f"{partial} holds an unfinished run of another plan: the source, the scheme or the format differs",
            hint="ask for what that run was asked for, or start again with --overwrite",
            code="other-plan",
        )
    return past if past.digest else None


def _already_there(output: Path) -> int:
    return sum(path.stat().st_size for path in partial_of(output).iterdir() if path.is_file())


def _begin(state: _State, out: OutputFolder) -> Journal:
    """The journal of a new run, or of the one that is gone on with."""
    journal = Journal(out.partial)
    if state.past is None:
        out.create()
        journal.start(state.plan.digest)
    else:
        journal.resume()
    _restore(state)
    return journal


def _quantize(
    state: _State, out: OutputFolder, tools: Tools, committer: Committer, options: RunOptions
) -> Generator[Event, None, None]:
    total = sum(t.source_bytes for t in state.plan.tensors if t.name not in state.done and t.bytes)
    if options.verify == "full":
        total += sum(t.source_bytes for t in state.plan.tensors if t.bytes)
    yield RunStarted(len(state.plan.tensors), total, len(state.done))
    for warning in state.plan.warnings:
        yield Warned(warning.code, warning.text)
    yield StageChanged("quantize")
    _allocate(state, out)
    yield from _tensors(state, out, tools, committer)


def _restore(state: _State) -> None:
    for name, errors in state.done.items():
        if errors is not None:
            state.errors[name] = errors
    if state.past is not None:
        state.sha256.update(state.past.shards)


def _allocate(state: _State, out: OutputFolder) -> None:
    """Gives every file still to write its size and its header.

    A header is written again on resume: a crash may have come between the one and the other.
    """
    metadata = find(state.plan.format).header_metadata
    for file in state.plan.files:
        path, header = out.partial / file.name, header_of(file.tensors, metadata)
        if state.past is not None and path.exists() and path.stat().st_size == file.nbytes:
            if file.name not in state.sha256:
                out.write(file.name, 0, header)
        elif any(tensor.source in state.done for tensor in file.tensors):
            raise WriteError(
                f"{path} is not as the journal left it", hint="start again with --overwrite", code="journal"
            )
        else:
            out.allocate(file, header)


def _tensors(state: _State, out: OutputFolder, tools: Tools, committer: Committer) -> Generator[Event, None, None]:
    """Quantizes or keeps every tensor still to do, in the order of the files."""
    places, planned = by_source(state.plan.files), {t.name: t for t in state.plan.tensors}
    todo = [t for t in state.checkpoint.tensors if t.name in places and t.name not in state.done]
    left = _left(state.plan.files, state.done)
    for file in [name for name, count in left.items() if not count and name not in state.sha256]:
        committer.shard_done(file)
    collected: list[Piece] = []
    for piece in ordered(tools.pool, tools.window, _pieces(tools, out, todo, places, planned)):
        collected.append(piece)
        yield ChunkDone(piece.tensor.name, piece.bytes)
        if not piece.last:
            continue
        tensor, plan = piece.tensor, planned[piece.tensor.name]
        file = next(iter(places[tensor.name].values()))[0].name
        yield _complete(state, out, tools, tensor, plan, places[tensor.name], collected)
        committer.tensor_done(file, tensor.name, state.errors.get(tensor.name))
        collected = []
        left[file] -= 1
        if not left[file]:
            committer.shard_done(file)
        yield from _written(state, committer)


def _left(files: tuple[OutFile, ...], done: Mapping[str, object]) -> dict[str, int]:
    """Source tensors still to do, by output file."""
    return {file.name: len({t.source for t in file.tensors} - set(done)) for file in files}


def _pieces(
    tools: Tools,
    out: OutputFolder,
    todo: list[TensorInfo],
    places: Mapping[str, Places],
    planned: Mapping[str, TensorPlan],
) -> Iterator[Callable[[], Piece]]:
    for tensor in todo:
        scheme = planned[tensor.name].scheme
        if scheme is None:
            yield from keep_pieces(tools, out, tensor, places[tensor.name])
        else:
            yield from quantize_pieces(tools, out, tensor, scheme, places[tensor.name])


def _complete(
    state: _State,
    out: OutputFolder,
    tools: Tools,
    tensor: TensorInfo,
    plan: TensorPlan,
    places: Places,
    pieces: list[Piece],
) -> Event:
    if plan.scheme is None:
        return TensorKept(tensor.name, plan.bytes)
    parameters, errors = gather(pieces, plan.scheme, tensor.shape[1])
    write_parameters(tools, out, tensor, plan.scheme, places, parameters)
    state.errors[tensor.name] = errors
    return TensorDone(TensorReport(tensor.name, plan.scheme, plan.bytes, errors))


def _written(state: _State, committer: Committer, *, wait: bool = False) -> Generator[Event, None, None]:
    sizes = {file.name: file.nbytes for file in state.plan.files}
    for file, digest in committer.finished_shards(wait=wait):
        state.sha256[file] = digest
        yield ShardWritten(file, sizes[file], digest)


def _finish(state: _State, out: OutputFolder, options: RunOptions) -> Generator[Event, None, None]:
    """Config, index and what is carried over come last, then the record, then the rename."""
    for name, size in state.plan.copied.items():
        target = out.partial / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(state.checkpoint.root / name, target)
        out.sync(name)
        state.sha256[name] = sha256_of(target)
        yield FileTransferred(name, size)
    for name, text in state.plan.texts.items():
        out.write_whole(name, text.encode())
        state.sha256[name] = sha256_of(out.partial / name)
    record = record_bytes(state.plan, _tensor_reports(state), state.sha256, options.verify)
    out.write_whole(RECORD, record)
    out.publish()


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
    )


def _forecast(plan: Plan, options: RunOptions) -> Forecast:
    """What the plan says; of main memory as of now, and for these options: a window may have grown since the plan was made."""
    tensors = [TensorInfo(t.name, t.dtype, t.shape, "", 0, t.source_bytes) for t in plan.tensors]
    decisions = [Decision(tensor, t.scheme) for tensor, t in zip(tensors, plan.tensors, strict=True)]
    cost = estimate(
        decisions,
        plan.files,
        find(plan.format),
        plan.device,
        plan.max_memory,
        verify=options.verify,
        threads=options.threads,
    )
    return Forecast(plan.output_bytes, plan.disk_bytes, cost.ram, cost.device, plan.seconds_estimate)
