"""What a result computes by our own reading of its files, to hold a runtime against."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan
from qtquant_app.engine.language_model import LanguageModel, open_language_model
from qtquant_app.engine.logit_difference import Logits
from qtquant_app.engine.rounded_inputs import rounded_inputs
from qtquant_app.engine.tools import open_tools
from qtquant_app.engine.written import restored_weights
from qtquant_app.formats import find

NEW_TOKENS = 16


def own_words(
    checkpoint: Checkpoint, plan: Plan, root: Path, ids: tuple[int, ...]
) -> Generator[Event, None, tuple[Logits, tuple[int, ...]]]:
    """Logits [tokens, vocabulary] of our dequantized model in float32 after each of `ids`, and the tokens it goes on with."""
    with open_tools(checkpoint, find(plan.format), "cpu") as tools:
        weights = yield from restored_weights(tools, root, plan)
    model = open_language_model(checkpoint, "cpu", weights)
    del weights
    with rounded_inputs(model, checkpoint, plan):
        return _continued(model, ids)


def _continued(model: LanguageModel, ids: tuple[int, ...]) -> tuple[Logits, tuple[int, ...]]:
    import torch

    with torch.no_grad():
        given = model.net(torch.tensor([ids]), use_cache=True)
        logits = given.logits[0].float().numpy()
        continued: list[int] = []
        while len(continued) < NEW_TOKENS:
            continued.append(int(given.logits[0, -1].argmax()))
            step = torch.tensor([continued[-1:]])
            given = model.net(step, past_key_values=given.past_key_values, use_cache=True)
    return logits, tuple(continued)
