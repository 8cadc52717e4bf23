"""A short measured run: a few chunks of the checkpoint itself, quantized, written where the result will be, and verified.

What a run does is called here on parts of tensors, so that what is measured is what will be done.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.events import ChunkDone, Event, StageChanged
from qtquant_app.core.plan import Plan, TensorPlan
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.cost import calibration_cost
from qtquant_app.engine.commit import sha256_of
from qtquant_app.engine.containers import container_of
from qtquant_app.engine.cost import CHUNK_BYTES, chunk_rows
from qtquant_app.engine.device import default_threads
from qtquant_app.engine.experts.splitting import as_planned
from qtquant_app.engine.layout import Decision, by_source
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.speeds import Speeds, seconds_of, usual, work_label
from qtquant_app.engine.tensor_work import Gathering, keep_pieces, quantize_pieces
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.engine.verify import compare_with_source
from qtquant_app.formats import Format, find

READ_BYTES = 64 << 20
WRITTEN_BYTES = 64 << 20
_PASS_SECONDS = 0.2
_KINDS = 4
"""Kinds of work that are measured, those of most bytes first."""
_SYNC_SECONDS = 0.15
_BLOCK = 8 << 20


@dataclass(frozen=True, slots=True)
class _Kind:
    """Tensors that are worked on alike, and the parts of them that are measured."""

    scheme: Scheme | None
    label: str
    parts: tuple[TensorInfo, ...]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)


def probe(
    checkpoint: Checkpoint, plan: Plan, output: str | Path, *, threads: int | None = None
) -> Generator[Event, None, Speeds]:
    """How fast this machine does what `plan` says, for `checkpoint` and the drive of `output`, in about a second.

    Reads at most 64 MB of the checkpoint. What it writes lies in a folder of its own beside `output`, which is gone at the end,
    however that comes. Kernels that have to be compiled come on top, once. Raises SourceError, DeviceError and OSError.
    """
    checkpoint = as_planned(checkpoint, (tensor.name for tensor in plan.tensors))
    format, count = find(plan.format), threads or default_threads()
    kinds = _kinds(checkpoint, plan, count)
    yield StageChanged("quantize")
    with tempfile.TemporaryDirectory(prefix=".qtquant-probe-", dir=existing_parent(Path(output))) as folder:
        quantize, verify = {}, {}
        for number, kind in enumerate(kinds):
            place = OutputFolder(Path(folder) / str(number))
            warm = replace(kind, parts=tuple(_first_rows(part, kind.scheme, format) for part in kind.parts[:1]))
            yield from _measured(checkpoint, plan, format, warm, OutputFolder(Path(folder) / f"{number}-warm"), count)
            took = yield from _measured(checkpoint, plan, format, kind, place, count)
            quantize[kind.label], verify[kind.label] = (seconds / kind.nbytes for seconds in took)
        sync, digest = yield from _written(Path(folder) / "written")
    return Speeds(quantize, verify, sync, digest)


def timed(checkpoint: Checkpoint, plan: Plan, output: str | Path) -> Generator[Event, None, Plan]:
    """`plan` with its seconds from a probe, which is remembered for the plans to come; as it is, where nothing can be written.

    Raises SourceError and DeviceError.
    """
    from qtquant_app.engine.known_speeds import keep_speeds

    try:
        speeds = yield from probe(checkpoint, plan, output)
    except OSError:
        return plan
    known = keep_speeds(checkpoint, output, plan.device, speeds)
    tensors = as_planned(checkpoint, (tensor.name for tensor in plan.tensors)).tensors
    decisions = [Decision(tensor, planned.scheme) for tensor, planned in zip(tensors, plan.tensors, strict=True)]
    seconds = seconds_of(decisions, plan.files, plan.copied_bytes, default_threads(), "full", known)
    seconds += calibration_cost(plan.tensors, plan.calibration, plan.device).seconds
    return replace(plan, seconds_estimate=round(seconds, 2))


def existing_parent(output: Path) -> Path:
    """The nearest folder above `output` that exists: it lies on the same drive."""
    parent = output.expanduser().absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return parent


def _kinds(checkpoint: Checkpoint, plan: Plan, threads: int) -> list[_Kind]:
    found: dict[str, list[tuple[TensorInfo, Scheme | None]]] = {}
    schemes = {tensor.name: tensor.scheme for tensor in plan.tensors}
    for tensor in checkpoint.tensors:
        if tensor.nbytes and tensor.tied_to is None:
            scheme = schemes[tensor.name]
            found.setdefault(work_label(tensor.dtype, scheme), []).append((tensor, scheme))
    largest = sorted(found.items(), key=lambda item: -sum(tensor.nbytes for tensor, _ in item[1]))[:_KINDS]
    share = READ_BYTES // max(1, len(largest))
    kinds = []
    for label, members in largest:
        tensors, scheme = [tensor for tensor, _ in members], members[0][1]
        first, _ = usual(tensors[0].dtype, scheme, threads)
        kinds.append(
            _Kind(scheme, label, tuple(_parts(tensors, scheme, plan, min(share, _PASS_SECONDS / first), threads)))
        )
    return kinds


def _parts(
    tensors: Sequence[TensorInfo], scheme: Scheme | None, plan: Plan, nbytes: float, threads: int
) -> Iterator[TensorInfo]:
    """Chunks of about `nbytes` in all, two a thread at least where there are so many, spread evenly over the bytes of `tensors`."""
    ends = list(accumulate(tensor.nbytes for tensor in tensors))
    usual_size = min(CHUNK_BYTES, ends[-1] / len(tensors))
    wanted = max(2 * threads, round(nbytes / usual_size))
    found: dict[tuple[str, str, int], TensorInfo] = {}
    for index in range(wanted):
        at = (2 * index + 1) * ends[-1] // (2 * wanted)
        tensor = tensors[bisect(ends, at)]
        chunk = _chunk(tensor, scheme, plan, at - (ends[bisect(ends, at)] - tensor.nbytes))
        found[chunk.file, tensor.name if tensor.part else "", chunk.offset] = chunk
    return (replace(chunk, name=f"part.{index}.weight") for index, chunk in enumerate(found.values()))


def _chunk(tensor: TensorInfo, scheme: Scheme | None, plan: Plan, at: int) -> TensorInfo:
    """The chunk of `tensor` that its byte `at` lies in, as a tensor of its own."""
    if scheme is None:
        start = at // CHUNK_BYTES * CHUNK_BYTES
        size = min(CHUNK_BYTES, tensor.nbytes - start)
        return replace(tensor, dtype="U8", shape=(size,), offset=tensor.offset + start, nbytes=size)
    row = tensor.nbytes // tensor.shape[0]
    step = chunk_rows(row, plan.device, find(plan.format).row_step(scheme))
    first = at // row // step * step
    rows = min(step, tensor.shape[0] - first)
    shape = (rows, tensor.shape[1])
    return replace(tensor, shape=shape, offset=tensor.offset + first * row, nbytes=rows * row)


def _first_rows(part: TensorInfo, scheme: Scheme | None, format: Format) -> TensorInfo:
    if scheme is None:
        return part
    rows = min(part.shape[0], format.row_step(scheme))
    return replace(part, shape=(rows, part.shape[1]), nbytes=part.nbytes // part.shape[0] * rows)


def _measured(
    checkpoint: Checkpoint, plan: Plan, format: Format, kind: _Kind, out: OutputFolder, threads: int
) -> Generator[Event, None, tuple[float, float]]:
    """Seconds of quantizing and of verifying the parts of `kind`."""
    container = container_of(format)
    files = container.lay_out([Decision(part, kind.scheme) for part in kind.parts], format)
    small = replace(checkpoint, tensors=kind.parts)
    planned = replace(plan, files=files, tensors=tuple(_planned(part, kind.scheme) for part in kind.parts))
    out.create()
    try:
        for file in files:
            out.allocate(file, container.header(file, format))
        with open_tools(small, format, plan.device, threads) as tools:
            started = perf_counter()
            errors = yield from _quantized(tools, out, planned, kind)
            between = perf_counter()
            yield from compare_with_source(tools, out.partial, planned, errors)
            return between - started, perf_counter() - between
    finally:
        out.close()


def _planned(part: TensorInfo, scheme: Scheme | None) -> TensorPlan:
    action = "keep" if scheme is None else "quantize"
    facts = (part.name, part.module, part.kind.value, part.dtype, part.shape)
    return TensorPlan(*facts, action, scheme, 0, "", part.nbytes)  # type: ignore[arg-type]


def _quantized(
    tools: Tools, out: OutputFolder, plan: Plan, kind: _Kind
) -> Generator[Event, None, dict[str, ErrorSums]]:
    places, errors = by_source(plan.files), {}
    work = (task for part in kind.parts for task in _tasks(tools, out, part, kind.scheme, places[part.name]))
    gathering: Gathering | None = None
    for piece in ordered(tools.pool, tools.window, work):
        yield ChunkDone(piece.tensor.name, piece.bytes)
        if kind.scheme is None:
            continue
        gathering = gathering or Gathering(tools, out, piece.tensor, kind.scheme, places[piece.tensor.name])
        gathering.take(piece)
        gathering.write()
        if piece.last:
            errors[piece.tensor.name], gathering = gathering.errors(), None
    return errors


def _tasks(tools: Tools, out: OutputFolder, part: TensorInfo, scheme: Scheme | None, places: Any) -> Iterable[Any]:
    if scheme is None:
        return keep_pieces(tools, out, part, places)
    return quantize_pieces(tools, out, part, scheme, places)


def _written(path: Path) -> Generator[Event, None, tuple[float, float]]:
    """Seconds per byte of syncing to the drive, and of hashing what was written."""
    block, done, waited = os.urandom(_BLOCK), 0, 0.0
    with path.open("wb", buffering=0) as stream:
        while done < WRITTEN_BYTES and waited < _SYNC_SECONDS:
            stream.write(block)
            started = perf_counter()
            os.fsync(stream.fileno())
            waited, done = waited + perf_counter() - started, done + _BLOCK
            yield ChunkDone("", 0)
    started = perf_counter()
    sha256_of(path)
    return waited / done, (perf_counter() - started) / done
