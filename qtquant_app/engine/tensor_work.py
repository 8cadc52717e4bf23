"""The pieces of work of a run: one chunk of rows read, quantized, packed and written; or one chunk of bytes carried over."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import QtQuantError, SourceError
from qtquant_app.core.events import ChunkDone
from qtquant_app.core.plan import OutFile, OutTensor, Role
from qtquant_app.core.recipe import NonFinitePolicy
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.peak import HELD_BYTES
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.placed import write_rows
from qtquant_app.engine.sparing import working_on
from qtquant_app.engine.strips import Strip, in_strips
from qtquant_app.engine.tools import Tools
from qtquant_app.formats.base import CONSTANT, Bytes, Parameters
from qtquant_app.quant.chunk import (
    Fixed,
    NonFinite,
    QuantizedChunk,
    Raw,
    RestoredOverflow,
    RowErrors,
    ScaleOverflow,
    refuse_infinite,
    repaired,
)
from qtquant_app.quant.totals import ErrorTotals

T = TypeVar("T")

Places = dict[Role, tuple[OutFile, OutTensor]]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk leaves behind: the small arrays; the codes are in the file already."""

    tensor: TensorInfo
    bytes: int
    last: bool
    scale: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None
    errors: RowErrors | None = None
    whole: NDArray[np.float32] | None = None


def quantize_pieces(
    tools: Tools,
    out: OutputFolder,
    tensor: TensorInfo,
    scheme: Scheme,
    places: Places,
    policy: NonFinitePolicy = "refuse",
    between: Generator[ChunkDone, None, tuple[float, float]] | None = None,
) -> Iterator[Callable[[], Piece]]:
    """The work that quantizes `tensor` into its place, a chunk of rows at a time.

    `between` finds the range that what serves the whole tensor comes from; that of the tensor itself where not given.
    """
    fixed = None
    if scheme.needs_extremes:
        fixed = yield from _find_fixed(tools, tensor, scheme, between or extremes(tools, tensor, policy))
    file, codes = places["codes"]
    for (start, stop), strip in in_strips(codes, tensor.shape[0], tools.spans(tensor, scheme)):
        yield partial(_quantize_rows, tools, out, tensor, scheme, file.name, codes, start, stop, fixed, policy, strip)


def _find_fixed(
    tools: Tools, tensor: TensorInfo, scheme: Scheme, chunks: Generator[ChunkDone, None, tuple[float, float]]
) -> Generator[Callable[[], Piece], None, Fixed]:
    """What serves all of `tensor`; hands out work of no bytes, so that it can be stopped at every chunk."""
    while True:
        try:
            next(chunks)
        except StopIteration as end:
            return fixed_for(tools, tensor, scheme, end.value)
        yield partial(Piece, tensor, 0, last=False)


def extremes(
    tools: Tools, tensor: TensorInfo, policy: NonFinitePolicy = "refuse"
) -> Generator[ChunkDone, None, tuple[float, float]]:
    """The smallest and the largest weight of all of `tensor`, a chunk of rows at a time."""

    def chunk(start: int, stop: int) -> tuple[int, float, float]:
        with located(tensor, start):
            raw = tools.reader.rows(tensor, start, stop)
            found, _ = on_finite(raw, tensor.dtype, policy, partial(_extremes, tools, tensor))
        return tensor.nbytes // tensor.shape[0] * (stop - start), *found

    low, high = np.inf, -np.inf
    for nbytes, lo, hi in ordered(tools.pool, tools.window, (partial(chunk, *span) for span in tools.spans(tensor))):
        low, high = min(low, lo), max(high, hi)
        yield ChunkDone(tensor.name, nbytes)
    return low, high


def _extremes(tools: Tools, tensor: TensorInfo, raw: Raw) -> tuple[float, float]:
    return tools.backend.extremes(raw, tensor.dtype)


def fixed_for(tools: Tools, tensor: TensorInfo, scheme: Scheme, between: tuple[float, float]) -> Fixed:
    """The one scale and zero point of a whole tensor whose smallest and largest weight are `between`."""
    with located(tensor, 0):
        return tools.backend.fix(*between, tensor.dtype, scheme)


def _quantize_rows(
    tools: Tools,
    out: OutputFolder,
    tensor: TensorInfo,
    scheme: Scheme,
    file: str,
    codes: OutTensor,
    start: int,
    stop: int,
    fixed: Fixed | None,
    policy: NonFinitePolicy,
    strip: Strip | None,
) -> Piece:
    with located(tensor, start):
        raw = tools.reader.rows(tensor, start, stop)
        nbytes = raw.nbytes

        def quantized(rows: Raw) -> QuantizedChunk:
            return tools.quantized_rows(rows, tensor, scheme, fixed, start, stop)

        chunk, mended = on_finite(raw, tensor.dtype, policy, quantized)
        refuse_infinite(tools.backend, chunk, tensor.dtype, scheme, tensor.shape[1])
        rows = tools.format.encode_codes(chunk.packed, scheme)
        if codes.axis == 0:
            rows = rows[:, : codes.nbytes // tensor.shape[0]]  # int8 weights are stored without padding
        if strip is not None:
            strip.write(out, file, start, stop, rows)
        else:
            at = tools.format.row_positions(tensor)
            write_rows(out, file, codes, tensor.shape[0], rows, start, stop, at)
    errors = replace(chunk.errors, repaired=mended) if mended else chunk.errors
    return Piece(tensor, nbytes, stop == tensor.shape[0], chunk.scale, chunk.zero, errors, chunk.whole)


def on_finite(raw: Raw, dtype: str, policy: NonFinitePolicy, work: Callable[[Raw], T]) -> tuple[T, int]:
    """`work` on the rows, mended where they are not finite and the policy is to repair; and how many weights were mended.

    Nothing is looked at twice where nothing is wrong: `work` itself says so, by raising NonFinite.
    """
    try:
        return work(raw), 0
    except NonFinite:
        if policy != "repair":
            raise
    mended, count = repaired(raw, dtype)
    return work(mended), count


@contextmanager
def located(tensor: TensorInfo, rows: int | NDArray[np.int32]) -> Iterator[None]:
    """Turns whatever goes wrong with a chunk into a sentence about the tensor: `rows` are the chunk's rows, or the first of
    rows that follow each other."""
    working_on(tensor.name)
    try:
        yield
    except NonFinite as error:
        raise SourceError(
            f"{tensor.name} holds {error.value} at row {_row(rows, error.row)}, column {error.column}",
            hint=f"the checkpoint is damaged there; leave the tensor as it is with --ignore {tensor.module}, or with "
            "--on-nonfinite keep; or mend it with --on-nonfinite repair",
            code="non-finite",
        ) from None
    except ScaleOverflow as error:
        raise SourceError(
            f"{tensor.name} needs a scale in row {_row(rows, error.row)} that {tensor.dtype} cannot hold",
            hint=f"leave the tensor as it is with --ignore {tensor.module}",
            code="scale-overflow",
        ) from None
    except RestoredOverflow as error:
        raise SourceError(
            f"{tensor.name} has weights in row {_row(rows, error.row)} that would come back as infinity in {tensor.dtype}",
            hint=f"leave the tensor as it is with --ignore {tensor.module}, or use --asymmetric",
            code="restored-overflow",
        ) from None
    except SourceError as error:
        if error.code != "read":
            raise
        raise SourceError(f"{tensor.name}: {error.message}", hint=error.hint, code=error.code) from None
    except (QtQuantError, OSError):
        raise
    except MemoryError as error:
        text = f"memory ran out at {tensor.name}"
        raise QtQuantError(text, hint="close other programs, or give a lower --max-memory", code="memory") from error
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        raise QtQuantError(
            f"{tensor.name}: an unexpected error stopped the work: {type(error).__name__}: {said}",
            hint="please report it with the details; what is done is kept: go on with --resume",
            code="internal",
        ) from error


def _row(rows: int | NDArray[np.int32], index: int) -> int:
    return rows + index if isinstance(rows, int) else int(rows[index])


class Gathering:
    """The scales, zero points and errors of one tensor, as its pieces come in. Hold no more than HELD_BYTES, and a piece."""

    def __init__(self, tools: Tools, out: OutputFolder, tensor: TensorInfo, scheme: Scheme, places: Places) -> None:
        self._tools = tools
        self._out = out
        self._tensor = tensor
        self._scheme = scheme
        self._places = places
        self._scales: list[NDArray[Any]] = []
        self._zeros: list[NDArray[Any]] = []
        self._whole: NDArray[np.float32] | None = None
        self._errors = ErrorTotals(tensor.shape[1])
        self._rows = 0
        """Rows, or blocks of rows, that are written."""
        self._last = False

    def take(self, piece: Piece) -> None:
        """The next piece, in order."""
        if piece.errors is None or piece.scale is None:
            return
        self._errors.add(piece.errors)
        self._last, self._whole = piece.last, piece.whole
        if self._scheme.strategy != "tensor" or not (self._scales or self._rows):
            self._scales.append(piece.scale)
            self._zeros += [] if piece.zero is None else [piece.zero]

    def write(self) -> None:
        """Writes what has come together, where that is enough or all. May be called again after a disk was full."""
        held = sum(part.nbytes for part in (*self._scales, *self._zeros))
        if not self._scales or not (self._last or held >= HELD_BYTES):
            return
        scale, zero = np.concatenate(self._scales), np.concatenate(self._zeros) if self._zeros else None
        step = self._tools.format.rows_together(self._scheme)
        rows = len(scale) if self._last else len(scale) // step * step
        if not rows:
            return
        part = Parameters(scale[:rows], None if zero is None else zero[:rows], self._whole)
        encoded = self._tools.format.encode_parameters(self._tensor, self._scheme, part)
        for role, data in encoded.items():
            self._write(role, data, rows)
        self._rows += rows
        left = not self._last
        self._scales = [scale[rows:].copy()] if left else []
        self._zeros = [zero[rows:].copy()] if left and zero is not None else []

    def _write(self, role: Role, data: Bytes, rows: int) -> None:
        """`data` of the next `rows`. What is stored for a few rows together is as long as it has to be for the last of them."""
        file, place = self._places[role]
        if role in CONSTANT or self._scheme.strategy == "tensor":
            if not self._rows:
                self._out.write(file.name, place.offset, data)
            return
        whole = (
            self._tensor.shape[0]
            if self._scheme.row_block == 1
            else -(-self._tensor.shape[0] // self._scheme.row_block)
        )
        if place.axis == 1:
            write_rows(self._out, file.name, place, whole, data, self._rows, self._rows + rows, None)
        else:
            step = self._tools.format.rows_together(self._scheme)
            first = self._rows // step * self._unit(role, step)
            self._out.write(file.name, place.offset + first, data)

    def _unit(self, role: Role, rows: int) -> int:
        """Bytes that `role` takes for so many rows."""
        few = replace(self._tensor, shape=(rows * self._scheme.row_block, *self._tensor.shape[1:]))
        return next(s.nbytes for s in self._tools.format.stored(few, self._scheme) if s.role == role)

    def errors(self) -> ErrorSums:
        """Over all pieces taken."""
        return self._errors.sums()


def keep_pieces(tools: Tools, out: OutputFolder, tensor: TensorInfo, places: Places) -> Iterator[Callable[[], Piece]]:
    """The work that carries `tensor` over byte by byte, or row by row where these change places."""
    file, kept = places["kept"]
    if tools.format.row_positions(tensor) is not None:
        for start, stop in tools.spans(tensor):
            yield partial(_keep_rows, tools, out, tensor, file.name, kept, start, stop)
        return
    for start, stop in tools.byte_spans(tensor):
        yield partial(_keep_bytes, tools, out, tensor, file.name, kept, start, stop)


def _keep_bytes(
    tools: Tools, out: OutputFolder, tensor: TensorInfo, file: str, kept: OutTensor, start: int, stop: int
) -> Piece:
    with located(tensor, 0):
        data = tools.reader.bytes_of(tensor, start, stop)
        out.write(file, kept.offset + kept_bytes(kept, tensor, start), tools.format.encode_kept(tensor, data))
    return Piece(tensor, stop - start, stop == tensor.nbytes)


def kept_bytes(kept: OutTensor, tensor: TensorInfo, nbytes: int) -> int:
    """Bytes stored for the first `nbytes` of a kept tensor, whose dtype may be another there."""
    return nbytes if kept.nbytes == tensor.nbytes else kept.nbytes * nbytes // tensor.nbytes


def _keep_rows(
    tools: Tools, out: OutputFolder, tensor: TensorInfo, file: str, kept: OutTensor, start: int, stop: int
) -> Piece:
    row = tensor.nbytes // tensor.shape[0]
    with located(tensor, start):
        data = tools.reader.bytes_of(tensor, start * row, stop * row)
        rows = tools.format.encode_kept(tensor, data).reshape(stop - start, -1)
        write_rows(out, file, kept, tensor.shape[0], rows, start, stop, tools.format.row_positions(tensor))
    return Piece(tensor, (stop - start) * row, stop == tensor.shape[0])
