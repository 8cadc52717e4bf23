"""Runs a result beside its original on a text. The weights are those in the files, decoded by the format they are written in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from math import exp, sqrt
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.events import Event, RunStarted, StageChanged, TextRead
from qtquant_app.core.plan import Plan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.device import resolve
from qtquant_app.engine.language_model import LanguageModel, linear_layers, open_language_model
from qtquant_app.engine.packed.whole import somebody_elses, whole_weights
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text
from qtquant_app.engine.tools import open_tools
from qtquant_app.engine.verify import base_of, result_plan
from qtquant_app.engine.written import restored_weights
from qtquant_app.formats import find

if TYPE_CHECKING:
    from torch import Tensor

WINDOWS, SEQLEN = 16, 512

_Z95 = 1.959964
"""Standard deviations either side of the mean that hold 95% of a normal distribution."""


def evaluate(
    output: str | Path,
    base: str | Path,
    *,
    text: str = BUILT_IN,
    windows: int = WINDOWS,
    seqlen: int = SEQLEN,
    device: str = "auto",
) -> Generator[Event, None, Evaluation]:
    """Perplexity, KL divergence and top-1 agreement of the result in `output` beside the model at `base` it was made from.

    `output` may be a quantized checkpoint of somebody else's too: its weights alone are then looked at.

    Of `text`, a file or "default", the second half is read, at most `windows` windows of `seqlen` tokens; the first is left to
    calibrations. Both models are in memory at once and no logits are kept. Raises VerifyError where `output` is no result or
    was made from something else, EvaluateError or DeviceError where the model cannot be run, SourceError where the text or a
    file cannot be read.
    """
    began, root = monotonic(), Path(output)
    foreign = somebody_elses(output)
    plan = result_plan(root) if foreign is None else None
    checkpoint, resolved = open_checkpoint(base) if plan is None else base_of(plan, base), resolve(device)
    _, held_out = read_text(text).halves()
    original = open_language_model(checkpoint, resolved, copies=2)
    parts = original.windows(held_out, windows, seqlen)
    if plan is not None:
        quantized = yield from _quantized(checkpoint, plan, root, resolved)
    elif foreign is not None:
        quantized = yield from _decoded(checkpoint, foreign, resolved)
    tally = _Tally()
    total, done = sum(len(ids) for ids in parts), 0
    yield StageChanged("check")
    rounding = nullcontext("none") if plan is None else rounded_inputs(quantized, checkpoint, plan)
    with rounding as activations:
        for ids in parts:
            tally.add(ids, original.log_probabilities(ids), quantized.log_probabilities(ids))
            done += len(ids)
            yield TextRead(done, total)
    return tally.evaluation(
        output=str(root),
        base=checkpoint.label,
        text=held_out.name,
        windows=len(parts),
        seqlen=len(parts[0]),
        activations=activations,
        seconds=round(monotonic() - began, 3),
    )


def _quantized(checkpoint: Checkpoint, plan: Plan, root: Path, device: str) -> Generator[Event, None, LanguageModel]:
    yield RunStarted(len(plan.tensors), plan.source_bytes)
    yield StageChanged("verify")
    with open_tools(checkpoint, find(plan.format), "cpu") as tools:
        weights = yield from restored_weights(tools, root, plan)
    return open_language_model(checkpoint, device, weights)


def _decoded(checkpoint: Checkpoint, foreign: Checkpoint, device: str) -> Generator[Event, None, LanguageModel]:
    yield RunStarted(len(foreign.tensors), foreign.nbytes)
    yield StageChanged("verify")
    weights = yield from whole_weights(foreign)
    return open_language_model(checkpoint, device, weights)


class _Tally:
    """Adds up window after window; of each token four numbers are kept."""

    def __init__(self) -> None:
        self._base: list[NDArray[np.float64]] = []
        self._own: list[NDArray[np.float64]] = []
        self._kl: list[NDArray[np.float64]] = []
        self._same = 0

    def add(self, ids: Tensor, base: Tensor, own: Tensor) -> None:
        """A window [n] and what both say comes after each of its tokens, [n, vocabulary]; the last prediction has no answer."""
        base, own, answers = base[:-1], own[:-1], ids[1:, None]
        self._base.append(_numbers(base.gather(1, answers)[:, 0]))
        self._own.append(_numbers(own.gather(1, answers)[:, 0]))
        self._kl.append(_numbers((base.exp() * (base - own)).sum(-1)))
        self._same += int((base.argmax(-1) == own.argmax(-1)).sum())

    def evaluation(self, **words: Any) -> Evaluation:
        kl = np.concatenate(self._kl)
        if not np.isfinite(kl).all():
            raise EvaluateError(
                f"{words['output']} does not give numbers: the model's predictions are NaN or infinite",
                hint="look at its tensors with `qtquant verify --base`; a scheme with more bits may help",
                code="non-finite",
            )
        means = np.array([window.mean() for window in self._kl])
        spread = _Z95 * float(means.std(ddof=1)) / sqrt(len(means)) if len(means) > 1 else 0.0
        return Evaluation(
            tokens=len(kl),
            base_perplexity=_perplexity(self._base),
            perplexity=_perplexity(self._own),
            kl=float(kl.mean()),
            kl_interval=spread,
            kl_p99=float(np.percentile(kl, 99)),
            top1_agreement=self._same / len(kl),
            **words,
        )


def _numbers(values: Tensor) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = values.double().cpu().numpy()
    return numbers


def _perplexity(parts: list[NDArray[np.float64]]) -> float:
    loss = -float(np.concatenate(parts).mean())
    return exp(loss) if loss < 700 else float("inf")


@contextmanager
def rounded_inputs(model: LanguageModel, checkpoint: Checkpoint, plan: Plan) -> Iterator[str]:
    """Rounds the inputs of layers whose scheme quantizes activations, token by token, as their kernels do.

    Raises EvaluateError for such a layer that transformers takes apart or puts together with others.
    """
    rounded = {t.module: t.scheme for t in plan.quantized if t.scheme is not None and t.scheme.activations != "none"}
    layers = linear_layers(model.net, checkpoint) if rounded else {}
    if missing := sorted(set(rounded) - set(layers)):
        raise EvaluateError(
            f"{missing[0]} has 8-bit activations, and transformers makes no linear layer of its own of it",
            hint="evaluate it in vLLM, or quantize weights alone",
            code="activations",
        )
    hooks = [layers[module].register_forward_pre_hook(_rounding(scheme)) for module, scheme in rounded.items()]
    try:
        yield ", ".join(sorted({scheme.activations for scheme in rounded.values()})) or "none"
    finally:
        for hook in hooks:
            hook.remove()


def _rounding(scheme: Scheme) -> Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    return _round if scheme.activations == "int8" else partial(_round_to_fp8, scheme.group_size)


def _round_to_fp8(columns: int | None, layer: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """To FP8 E4M3, whose largest number the largest of a token, or of so many `columns` of it, becomes."""
    import torch

    x = arguments[0]
    parts = x.reshape(-1, columns or x.shape[-1]).float()
    largest = torch.finfo(torch.float8_e4m3fn).max
    scale = (parts.abs().amax(-1, keepdim=True) / largest).clamp_min(torch.finfo(torch.float32).tiny)
    codes = (parts / scale).clamp(-largest, largest).to(torch.float8_e4m3fn)
    return ((codes.float() * scale).to(x.dtype).reshape(x.shape), *arguments[1:])


def _round(layer: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    from qtquant_app.engine.runtime.int8 import quantize_tokens

    x = arguments[0]
    codes, scale = quantize_tokens(x.reshape(-1, x.shape[-1]))
    return ((codes.float() * scale).to(x.dtype).reshape(x.shape), *arguments[1:])
