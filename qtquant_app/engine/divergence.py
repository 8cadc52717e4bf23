"""How far a quantized model's words are from the original's: KL divergence, the model run with restored weights in memory."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged, TextRead
from qtquant_app.core.plan import Plan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.language_model import LanguageModel, open_language_model
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.shared_range import fixed_of
from qtquant_app.engine.tensor_work import located
from qtquant_app.engine.text import Text
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats import find

if TYPE_CHECKING:
    from torch import Tensor


def divergences(
    checkpoint: Checkpoint, plans: Sequence[Plan], text: Text, windows: int, length: int, device: str
) -> Generator[Event, None, tuple[list[float], int]]:
    """KL(original || plan) of each of `plans`, in nats a token, and how many tokens were judged.

    The mean over all tokens of at most `windows` windows of `length` tokens of `text`. Weights are quantized as a run
    quantizes them and restored; nothing is written. Raises EvaluateError or DeviceError where the model cannot be run.
    """
    original = open_language_model(checkpoint, device)
    parts = original.windows(text, windows, length)
    tokens = sum(len(ids) for ids in parts)
    yield StageChanged("check")
    said = yield from _said(original, parts)
    del original
    found = []
    for plan in plans:
        weights = yield from restored(checkpoint, plan)
        model = open_language_model(checkpoint, device, weights)
        del weights
        yield StageChanged("check")
        sums = []
        for done, (ids, before) in enumerate(zip(parts, said, strict=True), 1):
            now = model.log_probabilities(ids).cpu()
            sums.append(float((before.exp() * (before - now)).sum(-1).double().sum()))
            yield TextRead(done * len(ids), tokens)
        found.append(fsum(sums) / tokens)
    return found, tokens


def _said(model: LanguageModel, windows: Sequence[Tensor]) -> Generator[Event, None, list[Tensor]]:
    """What the model says after each token: [tokens, vocabulary] for each window, in main memory."""
    said = []
    for done, ids in enumerate(windows, 1):
        said.append(model.log_probabilities(ids).cpu())
        yield TextRead(done * len(ids), len(windows) * len(ids))
    return said


def restored(checkpoint: Checkpoint, plan: Plan) -> Generator[Event, None, dict[str, Tensor]]:
    """Every tensor of `checkpoint` by name, those that `plan` quantizes as they will be read back, in float32."""
    schemes: Mapping[str, Scheme] = {t.name: t.scheme for t in plan.quantized if t.scheme is not None}
    yield RunStarted(len(checkpoint.tensors), checkpoint.nbytes)
    yield StageChanged("quantize")
    found = {}
    with open_tools(checkpoint, find(plan.format), plan.device) as tools:
        for tensor in checkpoint.tensors:
            if tensor.tied_to is None:
                scheme = schemes.get(tensor.name)
                found[tensor.name] = yield from (
                    _kept(tools, tensor) if scheme is None else _restored(tools, tensor, scheme)
                )
    return found


def _kept(tools: Tools, tensor: TensorInfo) -> Generator[Event, None, Tensor]:
    import torch

    from qtquant_app.engine.torch_dtypes import TORCH_DTYPES

    data = tools.reader.bytes_of(tensor, 0, tensor.nbytes).copy()
    yield ChunkDone(tensor.name, tensor.nbytes)
    return torch.from_numpy(data).view(TORCH_DTYPES[tensor.dtype]).reshape(tensor.shape)


def _restored(tools: Tools, tensor: TensorInfo, scheme: Scheme) -> Generator[Event, None, Tensor]:
    import torch

    fixed = yield from fixed_of(tools, tensor, scheme)

    def rows(start: int, stop: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        raw = tools.reader.rows(tensor, start, stop)
        with located(tensor, start):
            chunk = tools.quantized(raw, tensor, scheme, fixed)
        return tools.backend.dequantize(chunk, tensor.dtype, scheme, tensor.shape[1])

    out, at = torch.empty(tensor.shape), 0
    for part in ordered(tools.pool, tools.window, (partial(rows, *span) for span in tools.spans(tensor, scheme))):
        out[at : at + len(part)] = torch.from_numpy(part)
        at += len(part)
        yield ChunkDone(tensor.name, tensor.nbytes // tensor.shape[0] * len(part))
    return out
