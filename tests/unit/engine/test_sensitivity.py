"""What a model's reading says about its weights: KL divergence predicted, beside KL divergence measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.budget import weigh
from qtquant_app.engine.divergence import divergences
from qtquant_app.engine.language_model import LanguageModel, open_language_model
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.sensitivity import TOKENS_A_WINDOW, Sensitivity, sensitivities
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text
from tests.driving import result

CHECKPOINT = open_checkpoint("sample")
FIRST, SECOND = read_text(BUILT_IN).halves()
LAYER = "model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def model() -> Iterator[LanguageModel]:
    yield open_language_model(CHECKPOINT)


@pytest.fixture(scope="module")
def known(model: LanguageModel) -> dict[str, Sensitivity]:
    return result(sensitivities(model, CHECKPOINT, model.windows(FIRST, 8, 128)))


def test_every_linear_layer_is_watched(known: dict[str, Sensitivity]) -> None:
    linear = {tensor.module for tensor in CHECKPOINT.tensors if tensor.quantizable}
    assert set(known) == linear
    for module, found in known.items():
        rows, columns = CHECKPOINT.by_name[f"{module}.weight"].shape
        tokens = 8 * TOKENS_A_WINDOW
        assert found.inputs.shape == (tokens, columns)
        assert found.gradients.shape == (tokens, rows)
        assert found.weights.shape == (tokens,)


def test_the_same_seed_gives_the_same_sensitivities(model: LanguageModel, known: dict[str, Sensitivity]) -> None:
    again = result(sensitivities(model, CHECKPOINT, model.windows(FIRST, 8, 128)))
    other = result(sensitivities(model, CHECKPOINT, model.windows(FIRST, 8, 128), seed=1))
    assert np.array_equal(again[LAYER].inputs, known[LAYER].inputs)
    assert not np.array_equal(other[LAYER].inputs, known[LAYER].inputs)


def test_responses_add_up_over_rows(known: dict[str, Sensitivity]) -> None:
    found = known[LAYER]
    errors = np.random.default_rng(0).normal(size=CHECKPOINT.by_name[f"{LAYER}.weight"].shape).astype(np.float32)
    whole = found.responses(errors, 0)
    parts = found.responses(errors[:100], 0) + found.responses(errors[100:], 100)
    assert parts == pytest.approx(whole, rel=1e-5, abs=1e-6)
    direct = np.einsum("to,oi,ti->t", found.gradients.astype(float), errors.astype(float), found.inputs.astype(float))
    assert whole == pytest.approx(direct, rel=1e-3, abs=1e-3)


def test_the_nats_are_those_that_all_tokens_give(model: LanguageModel) -> None:
    """1/2 mean (g^T E x)^2 over all tokens, beside what the drawn ones say: within four times the spread of so few."""
    windows = model.windows(FIRST, 8, 128)
    layer = model.net.get_submodule(LAYER)
    errors = torch.from_numpy(np.random.default_rng(0).normal(size=tuple(layer.weight.shape))).float() * 0.01
    squares: list[torch.Tensor] = []

    def watch(module: object, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        moved = arguments[0].detach() @ errors.T
        output.register_hook(lambda gradient: squares.append((gradient * moved).sum(-1).double().square()) or None)

    hook = layer.register_forward_hook(watch)
    chance = torch.Generator().manual_seed(0)
    for ids in windows:
        inputs = model.net.get_input_embeddings()(ids[None]).requires_grad_(True)
        said = torch.log_softmax(model.net(inputs_embeds=inputs).logits[0], -1)
        said.gather(1, torch.multinomial(said.detach().exp(), 1, generator=chance)).sum().backward()
    hook.remove()
    everything = 0.5 * float(torch.cat(squares).mean())
    found = result(sensitivities(model, CHECKPOINT, windows))[LAYER]
    drawn = found.nats(found.responses(errors.numpy(), 0))
    assert drawn == pytest.approx(everything, rel=4 * (2 / len(found.weights)) ** 0.5)


@pytest.mark.parametrize("label", ["W8 ch sym", "W6 g64 asym", "W4 g64 asym mse"])
def test_the_prediction_is_near_the_divergence_that_is_measured(label: str) -> None:
    scheme = parse_label(label)
    measured = result(weigh(CHECKPOINT, Recipe(), schemes=[scheme], calibration=BUILT_IN, device="cpu", cache=False))
    predicted = sum(found.choices.errors[0] for found in measured.sets)
    plan = make_plan(CHECKPOINT, Recipe(default=scheme), device="cpu")
    (kl,), _ = result(divergences(CHECKPOINT, [plan], SECOND, 8, 256, "cpu"))
    assert predicted == pytest.approx(kl, rel=0.35)
