"""Samples that a model writes itself: what it may be asked of beyond the text at hand.

Learned from one kind of text alone, a quantized model is near the original on that kind and further off on others; its own words
hold all that it was made from (Liu et al., "LLM-QAT: Data-free quantization aware training for large language models", 2023).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.language_model import open_language_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

AT_ONCE = 64
"""Texts that are written side by side."""

LONGEST = 128
"""Tokens of a text: a sample is made of as many as it takes. What a model looks back on makes each token dearer than the one
before it, and many beginnings hold more than few."""


def own_words(
    checkpoint: Checkpoint, count: int, length: int, seed: int, device: str
) -> Generator[float, None, Tensor]:
    """`count` samples of texts that the model of `checkpoint` writes, drawn from what it expects: int64 [count, length].

    Yields how much is written, 0.0 to 1.0. The whole model is in memory meanwhile. The same for a seed on the same device.
    Raises EvaluateError where it is no causal language model, DeviceError where memory is short.
    """
    import torch

    model = open_language_model(checkpoint, device, dtype=torch.bfloat16 if device == "cpu" else None)
    first = model.tokenizer.bos_token_id
    if first is None:
        first = model.tokenizer.eos_token_id
    if first is None:
        raise EvaluateError(
            f"{checkpoint.label} does not say how a text begins, so it cannot write any",
            hint="leave out --own-samples",
            code="model",
        )
    chance, parts = torch.Generator(device=device).manual_seed(seed), []
    barred = _special(model.tokenizer)
    longest = min(LONGEST, length)
    texts = -(-count * length // longest)
    for start in range(0, texts, AT_ONCE):
        beginnings = torch.full((min(AT_ONCE, texts - start), 1), first, device=device)
        steps = _written(model.net, beginnings, longest, barred, chance)
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                parts.append(end.value)
                break
            yield (start * longest + done) / (texts * longest)
    return torch.cat(parts).flatten()[: count * length].view(count, length).cpu()


def _special(tokenizer: Any) -> list[int]:
    """Tokens that end a text or mean something outside of it."""
    return sorted(int(token) for token in tokenizer.all_special_ids)


def _written(
    net: Any, tokens: Tensor, length: int, barred: list[int], chance: torch.Generator
) -> Generator[int, None, Tensor]:
    """`tokens` [n, 1] gone on with up to `length`; yields the tokens written so far after each."""
    import torch

    cache, last = None, tokens
    for at in range(1, length):
        with torch.no_grad():
            said = net(last, past_key_values=cache, use_cache=True)
        cache, scores = said.past_key_values, said.logits[:, -1].float()
        scores[:, barred] = -torch.inf
        last = torch.multinomial(torch.softmax(scores, -1), 1, generator=chance)
        tokens = torch.cat([tokens, last], 1)
        yield (at + 1) * len(tokens)
    return tokens
