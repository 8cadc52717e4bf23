"""transformers, with compressed-tensors beside it, loads what that format writes and computes what we say it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from tests.end2end.round_trip import Trip, assert_alike, quantize
from tests.end2end.tiny_models import KINDS, build, inputs, llama, outputs

GROUP_4 = Scheme(4, group_size=32)
CHANNEL_8 = Scheme(8, strategy="channel", group_size=None)
W8A8 = Scheme(8, strategy="channel", group_size=None, activations="int8")
ASYMMETRIC = Scheme(4, group_size=32, symmetric=False)
ASYMMETRIC_8 = Scheme(8, group_size=32, symmetric=False)
SYMMETRIC = [GROUP_4, CHANNEL_8, Scheme(4, strategy="tensor", group_size=None)]
SYMMETRIC += [Scheme(bits, group_size=32) for bits in (2, 3, 5, 6, 7)]
EXPERTS = ("mixtral", "qwen3_moe")


def loaded(trip: Trip, model_class: Any, dtype: torch.dtype = torch.float32, **options: Any) -> PreTrainedModel:
    """The written folder as transformers loads it; nothing may be missing, left over or made up."""
    model, info = model_class.from_pretrained(trip.output, dtype=dtype, output_loading_info=True, **options)
    assert not any(info.values())
    return model.eval()


def check(trip: Trip, kind: str, dtype: torch.dtype = torch.float32, **options: Any) -> None:
    """The outputs are those of the dequantized weights, to the bit."""
    given, model_class = inputs(kind, dtype), type(build(kind, dtype))
    expected = outputs(trip.reference(model_class, dtype), given)
    assert_alike(outputs(loaded(trip, model_class, dtype, **options), given), expected, dtype)


def codes_of_warnings(trip: Trip) -> set[str]:
    return {warning.code for warning in trip.plan.warnings}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("scheme", SYMMETRIC, ids=lambda scheme: scheme.label.replace(" ", "-"))
def test_transformers_computes_what_the_dequantized_weights_compute(
    scheme: Scheme, dtype: torch.dtype, tmp_path: Path
) -> None:
    check(quantize(build("llama", dtype), tmp_path, Recipe(scheme)), "llama", dtype)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_asymmetric_weights_load_with_dequantize(bits: int, tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.bfloat16), tmp_path, Recipe(Scheme(bits, group_size=32, symmetric=False)))
    assert "asymmetric" in codes_of_warnings(trip)
    option = transformers.CompressedTensorsConfig(dequantize=True)
    check(trip, "llama", torch.bfloat16, quantization_config=option)


def test_asymmetric_weights_load_with_dequantize_in_the_config(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(ASYMMETRIC))
    config = json.loads((trip.output / "config.json").read_text())
    config["quantization_config"]["dequantize"] = True
    (trip.output / "config.json").write_text(json.dumps(config))
    check(trip, "llama")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_loads(kind: str, tmp_path: Path) -> None:
    check(quantize(build(kind, torch.bfloat16), tmp_path, Recipe(GROUP_4)), kind, torch.bfloat16)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in EXPERTS])
def test_w8a8_rounds_activations_token_by_token(kind: str, tmp_path: Path) -> None:
    trip, given = quantize(build(kind, torch.float32), tmp_path, Recipe(W8A8)), inputs(kind, torch.float32)
    model_class = type(build(kind, torch.float32))
    model = loaded(trip, model_class)
    expected = outputs(with_int8_activations(trip.reference(model_class, torch.float32), model), given)
    # Where noise moves an activation over a rounding boundary, one code differs; not rounding at all moves five times more.
    assert_alike(outputs(model, given), expected, noise=2e-3)


def with_int8_activations(reference: PreTrainedModel, quantized: PreTrainedModel) -> PreTrainedModel:
    """The float model, the inputs of its quantized layers rounded as compressed-tensors does: by max|x| / 127.5 a token.

    For compressed-tensors 0.20 a batch of single vectors is one token.
    """

    def rounded(layer: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        dims = (0, 1) if args[0].ndim == 2 else (2,)
        scale = args[0].abs().amax(dim=dims, keepdim=True) / 127.5
        return ((args[0] / scale).clamp(-128, 127).round() * scale,)

    for name, layer in quantized.named_modules():
        if hasattr(layer, "quantization_scheme"):
            reference.get_submodule(name).register_forward_pre_hook(rounded)
    return reference


@pytest.mark.parametrize("kind", EXPERTS)
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_symmetric_experts_load(kind: str, bits: int, tmp_path: Path) -> None:
    check(quantize(build(kind, torch.float32), tmp_path, Recipe(Scheme(bits, group_size=32))), kind)


@pytest.mark.parametrize("kind", EXPERTS)
def test_experts_and_attention_may_differ(kind: str, tmp_path: Path) -> None:
    recipe = Recipe(CHANNEL_8, (Rule("*.experts.*", GROUP_4),))
    check(quantize(build(kind, torch.float32), tmp_path, recipe), kind)


def test_experts_are_found_though_other_layers_are_more(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = {**build("qwen3_moe", torch.float32).config.to_dict(), "num_hidden_layers": 3, "mlp_only_layers": [0, 1]}
    model = transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(**config))
    trip = quantize(model, tmp_path, Recipe(CHANNEL_8, (Rule("*.experts.*", GROUP_4),)))
    by_scheme = [tensor.scheme for tensor in trip.plan.quantized]
    assert by_scheme.count(GROUP_4) < by_scheme.count(CHANNEL_8)
    check(trip, "qwen3_moe")


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("llama", "*.layers.0.self_attn.q_proj"),
        ("bert", "*.layer.0.*"),
        ("vit", "*.layer.0.*"),
        ("whisper", "*encoder.layers.0.*"),
        ("clip", "vision_model.*"),
        ("llava", "vision_tower.*"),
        ("llava", "multi_modal_projector.*"),
        ("llava", "*language_model*.layers.0.*"),
    ],
)
@pytest.mark.parametrize("scheme", ["keep", CHANNEL_8], ids=["keep", "another-scheme"])
def test_layers_named_in_the_config_are_found_under_the_names_that_transformers_gives_them(
    kind: str, pattern: str, scheme: Any, tmp_path: Path
) -> None:
    check(quantize(build(kind, torch.float32), tmp_path, Recipe(GROUP_4, (Rule(pattern, scheme),))), kind)


def test_int8_activations_beside_packed_weights(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(GROUP_4, (Rule("*down_proj", W8A8),)))
    model, given = loaded(trip, transformers.LlamaForCausalLM), inputs("llama", torch.float32)
    expected = outputs(trip.reference(transformers.LlamaForCausalLM, torch.float32), given)
    assert (outputs(model, given) - expected).norm() < 0.01 * expected.norm()


def test_a_head_loads_where_a_rule_quantizes_it(tmp_path: Path) -> None:
    check(quantize(build("llama", torch.float32), tmp_path, Recipe(GROUP_4, (Rule("lm_head", CHANNEL_8),))), "llama")


def test_a_head_tied_to_the_embedding_is_ignored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trip = quantize(llama(tie_word_embeddings=True), tmp_path, Recipe(GROUP_4))
    check(trip, "llama")


@pytest.mark.parametrize(
    ("code", "recipe"),
    [
        ("asymmetric-experts", Recipe(ASYMMETRIC)),
        ("int8-experts", Recipe(W8A8)),
        ("kept-experts", Recipe(GROUP_4, (Rule("*experts*", "keep"),))),
    ],
)
def test_what_transformers_cannot_load_is_warned_of(code: str, recipe: Recipe, tmp_path: Path) -> None:
    """Where this fails, transformers has learnt something: take the warning back."""
    trip = quantize(build("mixtral", torch.float32), tmp_path, recipe)
    assert code in codes_of_warnings(trip)
    for option in (None, transformers.CompressedTensorsConfig(dequantize=True)):
        with pytest.raises(RuntimeError, match="conversion of the weights"):
            loaded(trip, transformers.MixtralForCausalLM, quantization_config=option)


@pytest.mark.parametrize(
    ("code", "kind", "recipe", "dequantize"),
    [
        ("mixed-experts", "mixtral", Recipe(GROUP_4, (Rule("*experts.0.w1", CHANNEL_8),)), False),
        ("asymmetric-mixed", "llama", Recipe(ASYMMETRIC, (Rule("*down_proj", ASYMMETRIC_8),)), True),
    ],
)
def test_what_transformers_decodes_wrongly_is_warned_of(
    code: str, kind: str, recipe: Recipe, dequantize: bool, tmp_path: Path
) -> None:
    """Where this fails, transformers has learnt something: take the warning back."""
    trip, given = quantize(build(kind, torch.float32), tmp_path, recipe), inputs(kind, torch.float32)
    assert code in codes_of_warnings(trip)
    option = transformers.CompressedTensorsConfig(dequantize=True) if dequantize else None
    model_class = type(build(kind, torch.float32))
    model = loaded(trip, model_class, quantization_config=option)
    expected = outputs(trip.reference(model_class, torch.float32), given)
    assert (outputs(model, given) - expected).norm() > 0.01 * expected.norm()


def test_a_packed_projection_that_transformers_takes_apart_is_warned_of(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = transformers.NomicBertModel(transformers.NomicBertConfig(vocab_size=128, **sizes))
    trip = quantize(model, tmp_path, Recipe(GROUP_4))
    assert "split-projections" in codes_of_warnings(trip)
    with pytest.raises(RuntimeError):
        loaded(trip, transformers.NomicBertModel)
