"""Predicts what sets of tensors lose by letting the model read: their errors weighed by its sensitivity, in nats a token."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import fsum, isfinite
from statistics import median

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.allocation import Choices
from qtquant_app.engine.budget_measure import MeasuredSet
from qtquant_app.engine.language_model import open_language_model
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.sensitivity import Sensitivity, sensitivities
from qtquant_app.engine.shared_range import Range, shared_range
from qtquant_app.engine.tensor_work import fixed_for, located
from qtquant_app.engine.text import read_text
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats import Format
from qtquant_app.quant.chunk import Fixed, as_float32

WINDOWS, LENGTH = 16, 256
"""Of the text: so many windows of so many tokens. Twice as many changed no choice of a small model by much."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a scheme does to some rows of a tensor."""

    square_error: float
    square_weight: float
    responses: NDArray[np.float64] | None
    """Of `Sensitivity.responses`; None where the layer could not be watched."""


@dataclass(frozen=True, slots=True)
class _Loss:
    """What a scheme does to a tensor."""

    relative: float
    """||e||^2 / ||w||^2"""
    nats: float | None
    """The KL divergence predicted, a token; None where the layer could not be watched."""


def weigh_by_text(
    checkpoint: Checkpoint, sets: Sequence[MeasuredSet], source: str, format: Format, device: str, seed: int
) -> Generator[Event, None, list[MeasuredSet]]:
    """`sets` with their errors predicted by what the first half of the text at `source` does in the model.

    Where a layer cannot be watched, what a loss of its size costs in the other layers at the median stands for it. Raises
    SourceError for a text that cannot be read, EvaluateError or DeviceError where the model cannot be run.
    """
    text, _ = read_text(source).halves()
    model = open_language_model(checkpoint, device)
    known = yield from sensitivities(model, checkpoint, model.windows(text, WINDOWS, LENGTH), seed)
    del model
    if not any(tensor.module in known for found in sets for tensor in found.tensors):
        raise EvaluateError(
            f"none of the layers of {checkpoint.label} could be watched while it read",
            hint="go on without a text: predictions then come from the weights alone",
            code="model",
        )
    losses = yield from _losses(checkpoint, sets, known, format, device)
    usual = _usual(losses)
    return [_reweighed(found, losses, usual) for found in sets]


def _losses(
    checkpoint: Checkpoint,
    sets: Sequence[MeasuredSet],
    known: Mapping[str, Sensitivity],
    format: Format,
    device: str,
) -> Generator[Event, None, dict[tuple[str, Scheme], _Loss]]:
    """What each scheme open to a tensor does to it."""
    wanted = [(t, tuple(s for s in found.treatments if isinstance(s, Scheme))) for found in sets for t in found.tensors]
    yield RunStarted(len(wanted), sum(tensor.nbytes for tensor, schemes in wanted if schemes))
    yield StageChanged("quantize")
    losses: dict[tuple[str, Scheme], _Loss] = {}
    with open_tools(checkpoint, format, device) as tools:
        for tensor, schemes in wanted:
            if schemes:
                found = yield from _of_tensor(tools, tensor, schemes, known.get(tensor.module))
                losses |= {(tensor.name, scheme): loss for scheme, loss in found.items()}
    return losses


def _of_tensor(
    tools: Tools, tensor: TensorInfo, schemes: Sequence[Scheme], sensitivity: Sensitivity | None
) -> Generator[Event, None, dict[Scheme, _Loss]]:
    fixed: dict[Scheme, Fixed] = {}
    known: dict[str, Range] = {}
    for scheme in (scheme for scheme in schemes if scheme.needs_extremes):
        between = yield from shared_range(tools, tensor, scheme, known=known)
        fixed[scheme] = fixed_for(tools, tensor, scheme, between)
    blocks = next((scheme for scheme in schemes if scheme.row_block > 1), None)
    parts: dict[Scheme, list[_Part]] = {scheme: [] for scheme in schemes}
    tasks = (partial(_chunk, tools, tensor, schemes, fixed, sensitivity, *span) for span in tools.spans(tensor, blocks))
    for nbytes, found in ordered(tools.pool, tools.window, tasks):
        for scheme, part in found.items():
            parts[scheme].append(part)
        yield ChunkDone(tensor.name, nbytes)
    return {scheme: _together(found, sensitivity) for scheme, found in parts.items()}


def _chunk(
    tools: Tools,
    tensor: TensorInfo,
    schemes: Sequence[Scheme],
    fixed: Mapping[Scheme, Fixed],
    sensitivity: Sensitivity | None,
    start: int,
    stop: int,
) -> tuple[int, dict[Scheme, _Part]]:
    """What each scheme does to the rows from `start` to `stop`."""
    raw, columns, found = tools.reader.rows(tensor, start, stop), tensor.shape[1], dict[Scheme, _Part]()
    weights = as_float32(raw, tensor.dtype)
    for scheme in schemes:
        with located(tensor, start):
            chunk = tools.quantized(raw, tensor, scheme, fixed.get(scheme))
        responses = None
        if sensitivity is not None:
            restored = tools.backend.dequantize(chunk, tensor.dtype, scheme, columns)
            responses = sensitivity.responses(np.subtract(weights, restored, out=restored), start)
        sums = chunk.errors.sums(columns)
        found[scheme] = _Part(sums.square_error, sums.square_weight, responses)
    return raw.nbytes, found


def _together(parts: Sequence[_Part], sensitivity: Sensitivity | None) -> _Loss:
    error, weight = fsum(part.square_error for part in parts), fsum(part.square_weight for part in parts)
    responses = [part.responses for part in parts if part.responses is not None]
    nats = None if sensitivity is None else sensitivity.nats(np.sum(responses, axis=0))
    return _Loss(error / weight if weight else 0.0, nats)


def _usual(losses: Mapping[tuple[str, Scheme], _Loss]) -> float:
    """Nats for each unit of relative error, at the median."""
    return median(
        [loss.nats / loss.relative for loss in losses.values() if loss.nats is not None and loss.relative > 0] or [0.0]
    )


def _reweighed(found: MeasuredSet, losses: Mapping[tuple[str, Scheme], _Loss], usual: float) -> MeasuredSet:
    """The same set; a treatment whose errors cannot be added up has the error it had."""
    errors = []
    for treatment, before in zip(found.treatments, found.choices.errors, strict=True):
        if isinstance(treatment, str):
            errors.append(0.0)
            continue
        parts = [losses[tensor.name, treatment] for tensor in found.tensors]
        total = fsum(usual * part.relative if part.nats is None else part.nats for part in parts)
        errors.append(total if isfinite(total) else before)
    return replace(found, choices=Choices(found.choices.bytes, errors))
