"""What there is to do for the tensors of a run, as tasks for its threads; one that finds the disk full can be done once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import WriteError
from qtquant_app.core.plan import OutFile, TensorPlan
from qtquant_app.core.recipe import NonFinitePolicy
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.commit import Committer
from qtquant_app.engine.faults import DISK_FULL
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.room import Room
from qtquant_app.engine.shared_range import Range, shared_range
from qtquant_app.engine.tensor_work import Piece, Places, keep_pieces, quantize_pieces
from qtquant_app.engine.tools import Tools


@dataclass(frozen=True)
class Work:
    """What the tensors of a run are written with."""

    out: OutputFolder
    tools: Tools
    committer: Committer
    places: Mapping[str, Places]
    planned: Mapping[str, TensorPlan]
    ranges: dict[str, Range] = field(default_factory=dict)
    """Those of tensors whose range has been looked for."""

    @property
    def room(self) -> Room:
        return Room(self.out.output.parent)


@dataclass(frozen=True, slots=True)
class Full:
    """Work that found the disk full."""

    task: Callable[[], Piece]
    error: WriteError


def attempt(task: Callable[[], Piece]) -> Piece | Full:
    try:
        return task()
    except WriteError as error:
        if error.code != DISK_FULL:
            raise
        return Full(task, error)


def again(tools: Tools, found: Full) -> Piece:
    """Does the work once more, in the pool: its threads have the buffers for it."""
    return tools.pool.submit(found.task).result()


def left_of(files: tuple[OutFile, ...], done: Mapping[str, object]) -> dict[str, int]:
    """Source tensors still to do, by output file."""
    return {file.name: len({t.source for t in file.tensors if t.source} - set(done)) for file in files}


def tasks_of(work: Work, todo: Sequence[TensorInfo], policy: NonFinitePolicy) -> Iterator[Callable[[], Piece]]:
    tools, out, places, planned = work.tools, work.out, work.places, work.planned
    for tensor in todo:
        scheme = planned[tensor.name].scheme
        if scheme is None:
            yield from keep_pieces(tools, out, tensor, places[tensor.name])
        else:
            alike = partial(_like, planned, scheme)
            between = shared_range(tools, tensor, scheme, policy, known=work.ranges, takes_part=alike)
            yield from quantize_pieces(tools, out, tensor, scheme, places[tensor.name], policy, between)


def _like(planned: Mapping[str, TensorPlan], scheme: Scheme, tensor: TensorInfo) -> bool:
    """Whether `tensor` gets codes as those of `scheme`."""
    other = planned[tensor.name].scheme
    return other is not None and (other.type, other.bits, other.group_size) == (
        scheme.type,
        scheme.bits,
        scheme.group_size,
    )
