"""Reads what a run wrote: the parameters, the codes and the restored weights of each tensor."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import VerifyError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.plan import Plan, Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import placed
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.reader import RangeReader
from qtquant_app.engine.tensor_work import Places
from qtquant_app.engine.tools import Tools
from qtquant_app.formats.base import CONSTANT, Bytes, Parameters
from qtquant_app.quant.chunk import QuantizedChunk, RowErrors

if TYPE_CHECKING:
    from torch import Tensor


def read_parameters(
    tools: Tools, written: RangeReader, tensor: TensorInfo, plan: TensorPlan, places: Places
) -> Parameters:
    """The scales and zero points of `tensor`. Raises VerifyError where they make no sense."""
    assert plan.scheme is not None
    stored: dict[Any, Bytes] = {}
    for role, (file, place) in places.items():
        if role != "codes":
            stored[role] = written.take(file.name, place.offset, place.nbytes)
    return _decoded(tools, tensor, plan.scheme, stored)


def read_chunk(
    tools: Tools,
    written: RangeReader,
    tensor: TensorInfo,
    plan: TensorPlan,
    places: Places,
    parameters: Parameters,
    start: int,
    stop: int,
) -> QuantizedChunk:
    """The rows from `start` to `stop` of `tensor`, quantized; their errors are not known."""
    assert plan.scheme is not None
    codes = _read_codes(tools, written, tensor, plan.scheme, places, start, stop)
    whole = plan.scheme.strategy == "tensor"
    own = slice(None) if whole else _lines(plan.scheme, start, stop)
    zero = None if parameters.zero is None else parameters.zero[own]
    return QuantizedChunk(codes, parameters.scale[own], zero, RowErrors.concat([]), parameters.whole)


def _lines(scheme: Scheme, start: int, stop: int) -> slice:
    """Lines of scales that serve the rows from `start` to `stop`."""
    return slice(start // scheme.row_block, -(-stop // scheme.row_block))


def _read_codes(
    tools: Tools, written: RangeReader, tensor: TensorInfo, scheme: Scheme, places: Places, start: int, stop: int
) -> Bytes:
    file, codes = places["codes"]
    at = tools.format.row_positions(tensor)
    return tools.format.decode_codes(
        placed.read_rows(written, file.name, codes, tensor.shape[0], start, stop, at), scheme
    )


def read_rows(
    tools: Tools, written: RangeReader, tensor: TensorInfo, plan: TensorPlan, places: Places, start: int, stop: int
) -> QuantizedChunk:
    """As `read_chunk`, with no more of the parameters than these rows need. Raises VerifyError where they make no sense."""
    assert plan.scheme is not None
    if plan.scheme.strategy == "tensor":
        parameters = read_parameters(tools, written, tensor, plan, places)
        return read_chunk(tools, written, tensor, plan, places, parameters, start, stop)
    step = tools.format.rows_together(plan.scheme) * plan.scheme.row_block
    first, last = start // step * step, min(-(-stop // step) * step, tensor.shape[0])
    units = {part.role: part.nbytes for part in tools.format.stored(_rows_of(tensor, step), plan.scheme)}
    stored: dict[Any, Bytes] = {}
    for role, (file, place) in places.items():
        if role == "shape" and not start:
            _check_shape(tensor, written.read(file.name, place.offset, place.nbytes, role))
        elif role == "codes" or role == "shape":
            continue
        elif role in CONSTANT:
            stored[role] = written.read(file.name, place.offset, place.nbytes, role)
        elif place.axis == 1:
            stored[role] = placed.read_rows(written, file.name, place, tensor.shape[0], first, last, None, role)
        else:
            at = first // step * units[role]
            end = place.nbytes if last == tensor.shape[0] else last // step * units[role]
            stored[role] = written.read(file.name, place.offset + at, end - at, role)
    found = _decoded(tools, _rows_of(tensor, last - first), plan.scheme, stored)
    own = _lines(plan.scheme, start - first, stop - first)
    codes = _read_codes(tools, written, tensor, plan.scheme, places, start, stop)
    zero = None if found.zero is None else found.zero[own]
    return QuantizedChunk(codes, found.scale[own], zero, RowErrors.concat([]), found.whole)


def _decoded(tools: Tools, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
    try:
        return tools.format.decode_parameters(tensor, scheme, stored)
    except ValueError as error:
        raise VerifyError(
            f"{tensor.name}: {error}", hint="the drive may be failing: start again with --overwrite", code="mismatch"
        ) from None


def _rows_of(tensor: TensorInfo, rows: int) -> TensorInfo:
    return replace(tensor, shape=(rows, *tensor.shape[1:]))


def _check_shape(tensor: TensorInfo, stored: Bytes) -> None:
    found = stored.view("<i8").tolist()
    if found != list(tensor.shape):
        raise VerifyError(
            f"{tensor.name}: weight_shape says {found}, not {list(tensor.shape)}",
            hint="the drive may be failing: start again with --overwrite",
            code="mismatch",
        )


def restored_weights(tools: Tools, folder: Path, plan: Plan) -> Generator[Event, None, dict[str, Tensor]]:
    """Every tensor that `plan` wrote into `folder`, by its source's name, as it was or restored in float32."""
    places: Mapping[str, Places] = by_source(plan.files)
    planned = {tensor.name: tensor for tensor in plan.tensors}
    found: dict[str, Tensor] = {}
    with RangeReader(folder) as written:
        for tensor in tools.reader.checkpoint.tensors:
            if tensor.name in places:
                found[tensor.name] = yield from restored_weight(
                    tools, written, tensor, planned[tensor.name], places[tensor.name]
                )
    return found


def restored_weight(
    tools: Tools, written: RangeReader, tensor: TensorInfo, plan: TensorPlan, places: Places
) -> Generator[Event, None, Tensor]:
    """A tensor that was written, as it was or restored in float32."""
    import torch

    from qtquant_app.engine.torch_dtypes import TORCH_DTYPES

    scheme = plan.scheme
    if scheme is None:
        data = _kept(tools, written, tensor, places)
        yield ChunkDone(tensor.name, tensor.nbytes)
        return torch.from_numpy(data).view(TORCH_DTYPES[tensor.dtype]).reshape(tensor.shape)
    parameters = read_parameters(tools, written, tensor, plan, places)

    def rows(start: int, stop: int) -> NDArray[np.float32]:
        chunk = read_chunk(tools, written, tensor, plan, places, parameters, start, stop)
        return tools.backend.dequantize(chunk, tensor.dtype, scheme, tensor.shape[1])

    out, at = torch.empty(tensor.shape), 0
    for part in ordered(tools.pool, tools.window, (partial(rows, *span) for span in tools.spans(tensor, scheme))):
        out[at : at + len(part)] = torch.from_numpy(part)
        at += len(part)
        yield ChunkDone(tensor.name, tensor.nbytes // tensor.shape[0] * len(part))
    return out


def _kept(tools: Tools, written: RangeReader, tensor: TensorInfo, places: Places) -> Bytes:
    """The bytes that a kept tensor had in the source, as far as what is stored says them."""
    file, kept = places["kept"]
    at = tools.format.row_positions(tensor)
    if at is None:
        return tools.format.decode_kept(tensor, written.take(file.name, kept.offset, kept.nbytes))
    data = placed.read_rows(written, file.name, kept, tensor.shape[0], 0, tensor.shape[0], at)
    return tools.format.decode_kept(tensor, data.reshape(-1))
