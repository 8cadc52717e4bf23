"""How much errors in its weights change what a model says, measured by letting it read a text.

For small errors E of one layer's weights the KL divergence from the original, in nats a token, is half the quadratic form of
E in the Fisher information: the mean of squared gradients of log p(token), tokens drawn from the model's own predictions. The
gradient at a token is the outer product of the layer's input x and the gradient g at its output, so that the form is

    1/2 mean over tokens of (g^T E x)^2.

It counts errors that pull together, which a diagonal leaves out: at two bits weights shrink, and outputs with them. What one
token's weights do to later tokens is in g; products between tokens are left out. Of each window some tokens are kept, drawn in
proportion to |g|^2 |x|^2, and each weighed by the inverse of its chance, so that the mean stays right.
(Martens, "New insights and perspectives on the natural gradient method", 2020, sections 5 and 9, on the Fisher information as
the curvature of the KL divergence; Martens and Grosse, "Optimizing neural networks with Kronecker-factored approximate
curvature", 2015, on drawing tokens from the model.)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.events import Event, StageChanged, TextRead
from qtquant_app.engine.language_model import LanguageModel, linear_layers

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Numbers = NDArray[np.float64]


TOKENS_A_WINDOW = 8
"""Kept of each window: the spread of a sum over n squares is sqrt(2 / n) of it, 0.13 for 16 windows."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Of one layer: what it took in and what came back, at some tokens."""

    inputs: NDArray[np.float16]
    """[tokens, inputs], each of length 1"""
    gradients: NDArray[np.float16]
    """[tokens, outputs], each of length 1"""
    weights: Numbers
    """[tokens]: half of what a token adds to the KL divergence, in nats a token, where g^T E x is 1."""

    def responses(self, errors: NDArray[np.float32], start: int) -> Numbers:
        """g^T E x of each token, [tokens], for the rows of E from `start` on: `errors` [rows, inputs]. They add up over rows."""
        outputs = errors @ self.inputs.T.astype(np.float32)
        gradients = self.gradients[:, start : start + len(errors)].astype(np.float32)
        responses: Numbers = np.einsum("ti,it->t", gradients, outputs, dtype=np.float64)
        return responses

    def nats(self, responses: Numbers) -> float:
        """The KL divergence predicted, in nats a token, from the responses to all rows."""
        return float(self.weights @ np.square(responses))


def sensitivities(
    model: LanguageModel, checkpoint: Checkpoint, windows: Sequence[Tensor], seed: int = 0
) -> Generator[Event, None, dict[str, Sensitivity]]:
    """The sensitivity of every linear layer that a module of `checkpoint` is, by module.

    Modules that transformers takes apart or puts together with others have none, such as the experts of one block. Deterministic
    for a seed. Raises EvaluateError where gradients cannot be had.
    """
    import torch

    layers = linear_layers(model.net, checkpoint)
    seen = {module: _Seen() for module in layers}
    chance = torch.Generator(device=model.device).manual_seed(seed)
    total = sum(len(ids) for ids in windows)
    done = 0
    yield StageChanged("calibrate")
    for ids in windows:
        with _watched(layers, seen, chance):
            _read(model, ids, chance)
        done += len(ids)
        yield TextRead(done, total)
    return {module: found.sensitivity(total) for module, found in seen.items() if found.parts}


class _Seen:
    """Tokens of one layer, a few of each window: unit inputs, unit gradients, and weights."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[np.float16], NDArray[np.float16], Numbers]] = []

    def add(self, inputs: Tensor, gradients: Tensor, chance: torch.Generator) -> None:
        """Draws from a window's `inputs` [tokens, in] and the gradients [tokens, out] at the outputs."""
        import torch

        of_input, of_output = inputs.double().norm(dim=1), gradients.double().norm(dim=1)
        together = (of_input * of_output).square()
        total = float(together.sum())
        if not 0 < total < inf:
            return
        drawn = torch.multinomial(together, TOKENS_A_WINDOW, replacement=True, generator=chance)
        x, g = inputs[drawn].double() / of_input[drawn, None], gradients[drawn].double() / of_output[drawn, None]
        weights = np.full(len(drawn), total / len(drawn) / 2)
        self.parts.append((x.half().cpu().numpy(), g.half().cpu().numpy(), weights))

    def sensitivity(self, tokens: int) -> Sensitivity:
        inputs, gradients, weights = zip(*self.parts, strict=True)
        return Sensitivity(np.concatenate(inputs), np.concatenate(gradients), np.concatenate(weights) / tokens)


@contextmanager
def _watched(layers: Mapping[str, Any], seen: Mapping[str, _Seen], chance: torch.Generator) -> Iterator[None]:
    hooks = [layer.register_forward_hook(_watch(seen[module], chance)) for module, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(seen: _Seen, chance: torch.Generator) -> Any:
    def watch(layer: Any, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        inputs = arguments[0].detach()
        if output.requires_grad and inputs.numel():
            note: Any = output.register_hook
            note(lambda g: seen.add(inputs.reshape(-1, inputs.shape[-1]), g.reshape(-1, g.shape[-1]), chance))

    return watch


def _read(model: LanguageModel, ids: Tensor, chance: torch.Generator) -> None:
    """Gradients of the log-probability of tokens drawn from what the model itself expects after each of `ids`."""
    import torch

    try:
        inputs = model.net.get_input_embeddings()(ids[None]).requires_grad_(True)
        said = torch.log_softmax(model.net(inputs_embeds=inputs, use_cache=False).logits[0].float(), -1)
        drawn = torch.multinomial(said.detach().exp(), 1, generator=chance)
        said.gather(1, drawn).sum().backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise EvaluateError(
            f"no gradients can be had of {model.label}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            hint="go on without a text: predictions then come from the weights alone",
            code="model",
        ) from error
