"""The pieces of work of a run: one chunk of rows read, quantized, packed and written; or one chunk of bytes carried over."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import ChunkDone
from qtquant_app.core.plan import OutFile, OutTensor, Role
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.cost import CHUNK_BYTES
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.tools import Tools
from qtquant_app.formats.base import Bytes, Parameters
from qtquant_app.quant.chunk import Fixed, NonFinite, RowErrors, ScaleOverflow

Places = dict[Role, tuple[OutFile, OutTensor]]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk leaves behind: the small arrays; the codes are in the file already."""

    tensor: TensorInfo
    bytes: int
    last: bool
    scale: NDArray[Any] | None = None
    zero: Bytes | None = None
    errors: RowErrors | None = None


def quantize_pieces(
    tools: Tools, out: OutputFolder, tensor: TensorInfo, scheme: Scheme, places: Places
) -> Iterator[Callable[[], Piece]]:
    """The work that quantizes `tensor` into its place, a chunk of rows at a time."""
    fixed = (yield from _find_fixed(tools, tensor, scheme)) if scheme.strategy == "tensor" else None
    file, codes = places["codes"]
    for start, stop in tools.spans(tensor):
        yield partial(_quantize_rows, tools, out, tensor, scheme, file.name, codes, start, stop, fixed)


def _find_fixed(tools: Tools, tensor: TensorInfo, scheme: Scheme) -> Generator[Callable[[], Piece], None, Fixed]:
    """The one scale and zero point of all of `tensor`; hands out work of no bytes, so that it can be stopped at every chunk."""
    chunks = extremes(tools, tensor)
    while True:
        try:
            next(chunks)
        except StopIteration as end:
            return fixed_for(tools, tensor, scheme, end.value)
        yield partial(Piece, tensor, 0, last=False)


def extremes(tools: Tools, tensor: TensorInfo) -> Generator[ChunkDone, None, tuple[float, float]]:
    """The smallest and the largest weight of all of `tensor`, a chunk of rows at a time."""

    def chunk(start: int, stop: int) -> tuple[int, float, float]:
        with located(tensor, start):
            found = tools.backend.extremes(tools.reader.rows(tensor, start, stop), tensor.dtype)
        return tensor.nbytes // tensor.shape[0] * (stop - start), *found

    low, high = np.inf, -np.inf
    for nbytes, lo, hi in ordered(tools.pool, tools.window, (partial(chunk, *span) for span in tools.spans(tensor))):
        low, high = min(low, lo), max(high, hi)
        yield ChunkDone(tensor.name, nbytes)
    return low, high


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
) -> Piece:
    raw = tools.reader.rows(tensor, start, stop)
    with located(tensor, start):
        chunk = tools.backend.quantize(raw, tensor.dtype, scheme, tools.format.align, fixed)
    row = codes.nbytes // tensor.shape[0]
    rows = tools.format.encode_codes(chunk.packed, scheme)[:, :row]  # int8 weights are stored without padding
    out.write(file, codes.offset + start * row, np.ascontiguousarray(rows))
    return Piece(tensor, raw.nbytes, stop == tensor.shape[0], chunk.scale, chunk.zero, chunk.errors)


@contextmanager
def located(tensor: TensorInfo, rows: int | NDArray[np.int32]) -> Iterator[None]:
    """Turns a backend's complaint about a chunk into a sentence about the tensor: `rows` are the chunk's rows, or the
    first of rows that follow each other."""
    try:
        yield
    except NonFinite as error:
        raise SourceError(
            f"{tensor.name} holds {error.value} at row {_row(rows, error.row)}, column {error.column}",
            hint=f"the checkpoint is damaged there; leave the tensor as it is with --ignore {tensor.module}",
            code="non-finite",
        ) from None
    except ScaleOverflow as error:
        raise SourceError(
            f"{tensor.name} needs a scale in row {_row(rows, error.row)} that {tensor.dtype} cannot hold",
            hint=f"leave the tensor as it is with --ignore {tensor.module}",
            code="scale-overflow",
        ) from None


def _row(rows: int | NDArray[np.int32], index: int) -> int:
    return rows + index if isinstance(rows, int) else int(rows[index])


def gather(pieces: list[Piece], scheme: Scheme, columns: int) -> tuple[Parameters, ErrorSums]:
    """The scales and zero points of a whole tensor, and its errors, from its pieces in order."""
    scales = [piece.scale for piece in pieces if piece.scale is not None]
    zeros = [piece.zero for piece in pieces if piece.zero is not None]
    if scheme.strategy == "tensor":
        scales, zeros = scales[:1], zeros[:1]
    errors = RowErrors.concat([piece.errors for piece in pieces if piece.errors is not None])
    return Parameters(np.concatenate(scales), np.concatenate(zeros) if zeros else None), errors.sums(columns)


def write_parameters(
    tools: Tools, out: OutputFolder, tensor: TensorInfo, scheme: Scheme, places: Places, parameters: Parameters
) -> None:
    """Writes what belongs to `tensor` besides its codes."""
    for role, data in tools.format.encode_parameters(tensor, scheme, parameters).items():
        file, place = places[role]
        out.write(file.name, place.offset, data)


def keep_pieces(tools: Tools, out: OutputFolder, tensor: TensorInfo, places: Places) -> Iterator[Callable[[], Piece]]:
    """The work that carries `tensor` over byte by byte."""
    file, kept = places["kept"]
    for start, stop in byte_spans(tensor):
        yield partial(_keep_bytes, tools, out, tensor, file.name, kept.offset, start, stop)


def byte_spans(tensor: TensorInfo) -> Iterator[tuple[int, int]]:
    """Byte ranges that make up `tensor`; one empty range where it has no bytes."""
    ends = range(0, max(1, tensor.nbytes), CHUNK_BYTES)
    return ((start, min(start + CHUNK_BYTES, tensor.nbytes)) for start in ends)


def _keep_bytes(
    tools: Tools, out: OutputFolder, tensor: TensorInfo, file: str, offset: int, start: int, stop: int
) -> Piece:
    data = tools.reader.read(tensor.file, tensor.offset + start, stop - start)
    out.write(file, offset + start, data)
    return Piece(tensor, stop - start, stop == tensor.nbytes)
