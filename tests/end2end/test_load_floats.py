"""transformers, with compressed-tensors beside it, loads FP8, NVFP4 and MXFP4 and computes what the dequantized weights compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme_label import parse_label, parse_rule
from tests.end2end.round_trip import assert_alike, quantize
from tests.end2end.test_load_compressed_tensors import check, codes_of_warnings, loaded
from tests.end2end.tiny_models import KINDS, build, inputs, outputs

LABELS = ("FP8 ch", "FP8 tensor", "FP8 128x128", "NVFP4", "MXFP4")
EXPERTS = ("mixtral", "qwen3_moe")


@pytest.mark.parametrize("label", LABELS)
def test_transformers_computes_what_the_dequantized_weights_compute(label: str, tmp_path: Path) -> None:
    check(quantize(build("llama", torch.bfloat16), tmp_path, Recipe(parse_label(label))), "llama", torch.bfloat16)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_loads_in_fp8(kind: str, tmp_path: Path) -> None:
    check(quantize(build(kind, torch.float32), tmp_path, Recipe(parse_label("FP8 ch"))), kind)


@pytest.mark.parametrize("kind", EXPERTS)
def test_experts_load_in_mxfp4(kind: str, tmp_path: Path) -> None:
    check(quantize(build(kind, torch.bfloat16), tmp_path, Recipe(parse_label("MXFP4"))), kind, torch.bfloat16)


def test_integers_and_floats_of_every_kind_lie_beside_each_other(tmp_path: Path) -> None:
    rules = ("*down_proj=FP8 ch", "*o_proj=NVFP4", "*layers.0.mlp.gate_proj=MXFP4", "*layers.1.mlp.up_proj=FP8 128x128")
    recipe = Recipe(parse_label("W4 g32 sym"), tuple(map(parse_rule, rules)))
    trip = quantize(build("llama", torch.bfloat16), tmp_path, recipe)
    assert '"mixed-precision"' in trip.plan.texts["config.json"]
    check(trip, "llama", torch.bfloat16)


@pytest.mark.parametrize("label", ["FP8 ch A8", "FP8 tensor A8"])
def test_activations_are_rounded_token_by_token(label: str, tmp_path: Path) -> None:
    trip, given = (
        quantize(build("llama", torch.float32), tmp_path, Recipe(parse_label(label))),
        inputs("llama", torch.float32),
    )
    model = loaded(trip, transformers.LlamaForCausalLM)
    reference = trip.reference(transformers.LlamaForCausalLM, torch.float32)
    for name, layer in model.named_modules():
        if hasattr(layer, "quantization_scheme"):
            reference.get_submodule(name).register_forward_pre_hook(_rounded)
    # Where noise moves an activation over a rounding boundary, one code differs; not rounding at all moves five times more.
    assert_alike(outputs(model, given), outputs(reference, given), noise=4e-3)


def _rounded(_layer: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    dims = (0, 1) if args[0].ndim == 2 else (2,)
    scale = args[0].abs().amax(dim=dims, keepdim=True) / 448
    return ((args[0] / scale).to(torch.float8_e4m3fn).float() * scale,)


@pytest.mark.parametrize("label", ["NVFP4", "MXFP4"])
def test_four_bits_need_bfloat16_and_a_plan_says_so(label: str, tmp_path: Path) -> None:
    """Where this fails, transformers has learnt something: take the warning back."""
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(parse_label(label)))
    assert "float4-dtype" in codes_of_warnings(trip)
    with pytest.raises(RuntimeError, match="same dtype"):
        outputs(loaded(trip, transformers.LlamaForCausalLM), inputs("llama", torch.float32))
    check(trip, "llama", torch.bfloat16)


def test_experts_in_nvfp4_come_out_wrong_and_a_plan_says_so(tmp_path: Path) -> None:
    """Where this fails, transformers has learnt something: take the warning back."""
    trip = quantize(build("mixtral", torch.bfloat16), tmp_path, Recipe(parse_label("NVFP4")))
    assert "nvfp4-experts" in codes_of_warnings(trip)
    given = inputs("mixtral", torch.bfloat16)
    expected = outputs(trip.reference(transformers.MixtralForCausalLM, torch.bfloat16), given)
    made = outputs(loaded(trip, transformers.MixtralForCausalLM, torch.bfloat16), given)
    assert (made - expected).norm() > 0.1 * expected.norm()


def test_activations_beside_blocks_that_columns_do_not_fill_fail_and_a_plan_says_so(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(parse_label("FP8 128x128 A8")))
    assert "block-activations" in codes_of_warnings(trip)
    with pytest.raises(RuntimeError, match="unflatten"):
        outputs(loaded(trip, transformers.LlamaForCausalLM), inputs("llama", torch.float32))


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("FP8 tensor", "split-scales"),
        ("FP8 128x128", "split-scales"),
        ("NVFP4", "split-nvfp4"),
        ("MXFP4", ""),
        ("FP8 ch", ""),
    ],
)
def test_a_projection_that_transformers_takes_apart_needs_a_scale_for_each_row(
    label: str, code: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = transformers.NomicBertModel(transformers.NomicBertConfig(vocab_size=128, **sizes)).to(torch.bfloat16)
    trip = quantize(model, tmp_path, Recipe(parse_label(label)))
    assert (code in codes_of_warnings(trip)) == bool(code)
    _, info = transformers.NomicBertModel.from_pretrained(trip.output, dtype=torch.bfloat16, output_loading_info=True)
    assert any(info.values()) == bool(code)
