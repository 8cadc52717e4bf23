"""Every kind of model comes back from the plain format and computes what its dequantized weights compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

import qtquant_app.transformers
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.transformers import QuantizedLinear
from tests.end2end.round_trip import Trip, assert_alike, quantize
from tests.end2end.tiny_models import KINDS, build, inputs, outputs

LANGUAGE = ("llama", "mixtral", "qwen3_moe")
AUTO = {
    **dict.fromkeys(LANGUAGE, transformers.AutoModelForCausalLM),
    "bert": transformers.AutoModelForMaskedLM,
    "vit": transformers.AutoModelForImageClassification,
    "whisper": transformers.AutoModelForSpeechSeq2Seq,
    "clip": transformers.AutoModel,
    "llava": transformers.AutoModelForImageTextToText,
}
GROUP_32 = Recipe(Scheme(4, group_size=32), format="qtquant")


def trip_of(kind: str, dtype: torch.dtype, folder: Path) -> Trip:
    return quantize(build(kind, dtype), folder, GROUP_32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("kind", AUTO)
def test_a_loaded_model_computes_what_its_dequantized_weights_compute(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    trip, given = trip_of(kind, dtype, tmp_path), inputs(kind, dtype)
    expected = outputs(trip.reference(type(build(kind, dtype)), dtype), given)
    assert_alike(outputs(load(trip.output), given), expected, dtype)


@pytest.mark.parametrize("kind", AUTO)
def test_from_pretrained_reads_the_plain_format_once_it_is_registered(kind: str, tmp_path: Path) -> None:
    trip, given = trip_of(kind, torch.float32, tmp_path), inputs(kind, torch.float32)
    model = AUTO[kind].from_pretrained(trip.output)
    assert type(model) is type(build(kind, torch.float32))
    assert_alike(outputs(model, given), outputs(load(trip.output), given))


def test_quantized_outputs_stay_near_the_float_model(tmp_path: Path) -> None:
    trip, given = trip_of("llama", torch.float32, tmp_path), inputs("llama", torch.float32)
    exact, rough = outputs(build("llama", torch.float32), given), outputs(load(trip.output), given)
    assert 0 < (rough - exact).norm() < 0.2 * exact.norm()


@pytest.mark.parametrize("kind", [kind for kind in AUTO if kind not in ("mixtral", "qwen3_moe")])
def test_every_quantized_layer_stays_packed(kind: str, tmp_path: Path) -> None:
    trip = trip_of(kind, torch.float32, tmp_path)
    packed = [m for m in load(trip.output).modules() if isinstance(m, QuantizedLinear)]
    assert len(packed) == len(trip.plan.quantized) > 0


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_experts_are_dequantized_and_attention_stays_packed(kind: str, tmp_path: Path) -> None:
    trip = trip_of(kind, torch.float32, tmp_path)
    model = load(trip.output)
    attention = [tensor for tensor in trip.plan.quantized if tensor.kind == "linear"]
    assert sum(isinstance(m, QuantizedLinear) for m in model.modules()) == len(attention)
    assert model.model.layers[0].mlp.experts.gate_up_proj.dtype == torch.float32


def test_shards_are_read_through_their_index(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float32), tmp_path, GROUP_32, max_shard_size="60KB")
    assert len(list(trip.output.glob("*.safetensors"))) > 1
    given = inputs("llama", torch.float32)
    expected = outputs(trip.reference(transformers.LlamaForCausalLM, torch.float32), given)
    assert_alike(outputs(load(trip.output), given), expected)


def test_another_dtype_moves_the_float_part_and_rounds_each_weight_once(tmp_path: Path) -> None:
    trip, given = trip_of("llama", torch.bfloat16, tmp_path), inputs("llama", torch.float16)
    model = load(trip.output, dtype=torch.float16)
    assert {p.dtype for n, p in model.named_parameters() if "weight_" not in n} == {torch.float16}
    expected = outputs(trip.reference(transformers.LlamaForCausalLM, torch.float16), given)
    assert_alike(outputs(model, given), expected, torch.float16)


def test_a_base_model_is_read_from_the_checkpoint_of_one_with_a_head(tmp_path: Path) -> None:
    trip, given = trip_of("bert", torch.float32, tmp_path), inputs("bert", torch.float32)
    whole, base = load(trip.output), transformers.AutoModel.from_pretrained(trip.output)
    with torch.no_grad():
        torch.testing.assert_close(base(**given).last_hidden_state, whole.bert(**given).last_hidden_state)


def test_a_model_with_a_head_is_read_from_the_checkpoint_of_a_base_model(tmp_path: Path) -> None:
    trip = quantize(transformers.BertModel(build("bert", torch.float32).config), tmp_path, GROUP_32)
    base = load(trip.output)
    headed = transformers.AutoModelForMaskedLM.from_pretrained(trip.output)
    given = inputs("bert", torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(base(**given).last_hidden_state, headed.bert(**given).last_hidden_state)


def test_generation_works_on_packed_layers(tmp_path: Path) -> None:
    trip = trip_of("llama", torch.float32, tmp_path)
    prompt = inputs("llama", torch.float32)["input_ids"]
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    reference = trip.reference(transformers.LlamaForCausalLM, torch.float32)
    assert load(trip.output).generate(prompt, **settings).tolist() == reference.generate(prompt, **settings).tolist()


def test_registering_again_changes_nothing() -> None:
    qtquant_app.transformers.register()
    assert KINDS.keys() >= AUTO.keys()
