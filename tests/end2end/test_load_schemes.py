"""Each scheme that the plain format holds, and mixtures of them, come back exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.transformers import QuantizedLinear
from tests.end2end.round_trip import Trip, assert_alike, quantize
from tests.end2end.tiny_models import build, inputs, llama, mixtral, outputs

SCHEMES = [
    Scheme(2, group_size=16),
    Scheme(2, group_size=16, symmetric=False, method="mse"),
    Scheme(4, group_size=32, symmetric=False),
    Scheme(4, group_size=20),
    Scheme(4, group_size=20, symmetric=False),
    Scheme(4, group_size=128),
    Scheme(4, strategy="channel", group_size=None, method="mse"),
    Scheme(4, strategy="tensor", group_size=None, symmetric=False),
    Scheme(8, strategy="channel", group_size=None),
    Scheme(8, strategy="channel", group_size=None, symmetric=False),
    Scheme(8, strategy="tensor", group_size=None),
]
CHANNEL_8 = Scheme(8, strategy="channel", group_size=None)


def check(trip: Trip, model_class: type, kind: str = "llama", dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Loads the result, holds it against its dequantized weights, and returns it."""
    model, given = load(trip.output), inputs(kind, dtype)
    expected = outputs(trip.reference(model_class, dtype), given)
    assert_alike(outputs(model, given), expected, dtype)
    return model


def scheme_of(model: torch.nn.Module, module: str) -> Scheme:
    layer = model.get_submodule(module)
    assert isinstance(layer, QuantizedLinear)
    return layer.scheme


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label.replace(" ", "-"))
def test_a_scheme_comes_back_exactly(scheme: Scheme, tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.bfloat16), tmp_path, Recipe(scheme, format="qtquant"))
    model = check(trip, transformers.LlamaForCausalLM, dtype=torch.bfloat16)
    assert scheme_of(model, "model.layers.1.mlp.down_proj") == scheme


def test_half_precision_checkpoints_keep_half_precision_scales(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float16), tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    model = check(trip, transformers.LlamaForCausalLM, dtype=torch.float16)
    assert model.model.layers[0].mlp.up_proj.weight_scale.dtype == torch.float16


def test_rules_give_layers_schemes_of_their_own_and_keep_others_in_float(tmp_path: Path) -> None:
    rules = (
        Rule("*.down_proj", CHANNEL_8),
        Rule("*.layers.0.*.q_proj", "keep"),
        Rule("lm_head", Scheme(4, group_size=16)),
    )
    recipe = Recipe(Scheme(2, group_size=16), rules, format="qtquant")
    model = check(quantize(build("llama", torch.float32), tmp_path, recipe), transformers.LlamaForCausalLM)
    assert scheme_of(model, "model.layers.0.mlp.down_proj") == CHANNEL_8
    assert scheme_of(model, "model.layers.1.self_attn.q_proj").bits == 2
    assert scheme_of(model, "lm_head").group_size == 16
    assert type(model.model.layers[0].self_attn.q_proj) is torch.nn.Linear


def test_experts_of_one_layer_may_differ_in_scheme(tmp_path: Path) -> None:
    rules = (
        Rule("*.experts.0.*", Scheme(4, group_size=32, symmetric=False)),
        Rule("*.experts.1.*", "keep"),
        Rule("*.experts.2.w2", Scheme(8, strategy="tensor", group_size=None)),
    )
    torch.manual_seed(0)
    trip = quantize(mixtral(), tmp_path, Recipe(Scheme(2, group_size=20), rules, format="qtquant"))
    check(trip, transformers.MixtralForCausalLM, "mixtral")


def test_rows_that_do_not_fill_their_last_byte_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    odd = llama(intermediate_size=83, mlp_bias=True)
    check(quantize(odd, tmp_path, Recipe(Scheme(2, group_size=16), format="qtquant")), transformers.LlamaForCausalLM)


def test_experts_whose_rows_do_not_fill_their_last_byte_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trip = quantize(mixtral(intermediate_size=83), tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    # torch's grouped product takes no such rows, so the weights themselves are compared.
    experts = load(trip.output).model.layers[1].mlp.experts
    expected = trip.reference(transformers.MixtralForCausalLM, torch.float32).model.layers[1].mlp.experts
    assert experts.down_proj.shape == (4, 64, 83)
    assert torch.equal(experts.down_proj, expected.down_proj) and torch.equal(
        experts.gate_up_proj, expected.gate_up_proj
    )


def test_biases_are_kept_and_added(tmp_path: Path) -> None:
    torch.manual_seed(0)
    biased = llama(attention_bias=True, mlp_bias=True)
    for name, parameter in biased.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    model = check(quantize(biased, tmp_path, Recipe(CHANNEL_8, format="qtquant")), transformers.LlamaForCausalLM)
    assert model.model.layers[0].mlp.up_proj.bias.abs().min() > 0


def test_a_head_tied_to_the_embedding_stays_tied(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tied = llama(tie_word_embeddings=True)
    trip = quantize(tied, tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    model = check(trip, transformers.LlamaForCausalLM)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_fused_projections_that_transformers_splits_are_dequantized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = transformers.NomicBertModel(transformers.NomicBertConfig(vocab_size=128, **sizes))
    trip = quantize(model, tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    assert any(tensor.module.endswith("Wqkv") for tensor in trip.plan.quantized)
    given, loaded = inputs("bert", torch.float32), load(trip.output)
    expected = trip.reference(transformers.NomicBertModel, torch.float32)
    with torch.no_grad():
        assert_alike(loaded(**given).last_hidden_state, expected(**given).last_hidden_state)
    assert type(loaded.layers[0].self_attn.q_proj) is torch.nn.Linear
    assert isinstance(loaded.layers[0].self_attn.o_proj, QuantizedLinear)
