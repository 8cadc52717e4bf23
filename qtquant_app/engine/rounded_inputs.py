"""Rounds the inputs of a whole model's linear layers, where their scheme quantizes activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.plan import Plan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.evaluation.rounding import rounded
from qtquant_app.engine.language_model import LanguageModel, linear_layers

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def rounded_inputs(model: LanguageModel, checkpoint: Checkpoint, plan: Plan) -> Iterator[str]:
    """Rounds the inputs of layers whose scheme quantizes activations, token by token, as their kernels do.

    Raises EvaluateError for such a layer that transformers takes apart or puts together with others.
    """
    schemes = {t.module: t.scheme for t in plan.quantized if t.scheme is not None and t.scheme.activations != "none"}
    layers = linear_layers(model.net, checkpoint) if schemes else {}
    if missing := sorted(set(schemes) - set(layers)):
        raise EvaluateError(
            f"{missing[0]} has 8-bit activations, and transformers makes no linear layer of its own of it",
            hint="evaluate it in vLLM, or quantize weights alone",
            code="activations",
        )
    hooks = [layers[module].register_forward_pre_hook(_rounding(scheme)) for module, scheme in schemes.items()]
    try:
        yield ", ".join(sorted({scheme.activations for scheme in schemes.values()})) or "none"
    finally:
        for hook in hooks:
            hook.remove()


def _rounding(scheme: Scheme) -> Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    return lambda layer, arguments: (rounded(arguments[0], scheme), *arguments[1:])
