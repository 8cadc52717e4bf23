"""Models whose experts are stored in stacks: all of them quantized, put together again by our loader, and computing what the
dequantized weights compute, which are put into the float model here slice by slice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

import qtquant_app
from qtquant_app.core.coverage import linear_coverage
from qtquant_app.core.errors import SourceError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from tests.end2end.round_trip import Trip, assert_alike, decoded, quantize
from tests.end2end.tiny_models import HIDDEN, INNER, WORDS

_DECODER: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": WORDS,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": INNER, "head_dim": 16}
_LOCAL: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3], "mrope_interleaved": True}
_EYES = {
    "depth": 1,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_heads": 4,
    "patch_size": 8,
    "out_hidden_size": HIDDEN,
    "deepstack_visual_indexes": [0],
    "num_position_embeddings": 16,
}


def granite() -> PreTrainedModel:
    return transformers.GraniteMoeForCausalLM(transformers.GraniteMoeConfig(**_DECODER, **_LOCAL))


def gpt_oss() -> PreTrainedModel:
    return transformers.GptOssForCausalLM(transformers.GptOssConfig(**_DECODER, **_LOCAL, head_dim=16))


def llama4() -> PreTrainedModel:
    config = transformers.Llama4TextConfig(
        **_DECODER, num_local_experts=4, num_experts_per_tok=1, head_dim=16, intermediate_size_mlp=INNER, pad_token_id=0
    )
    return transformers.Llama4ForCausalLM(config)


def qwen3_vl() -> PreTrainedModel:
    text = {**_DECODER, **_EXPERTS, "rope_parameters": _ROPE}
    words = {"image_token_id": 120, "video_token_id": 121, "vision_start_token_id": 122, "vision_end_token_id": 123}
    config = transformers.Qwen3VLMoeConfig(text_config=text, vision_config=_EYES, **words)
    return transformers.Qwen3VLMoeForConditionalGeneration(config)


def gemma4() -> PreTrainedModel:
    config = transformers.Gemma4TextConfig(
        **_DECODER,
        num_experts=4,
        top_k_experts=2,
        moe_intermediate_size=INNER,
        head_dim=16,
        global_head_dim=16,
        enable_moe_block=True,
        hidden_size_per_layer_input=0,
    )
    return transformers.Gemma4ForCausalLM(config)


@dataclass(frozen=True)
class Family:
    """A model, where a block's experts are in it and in their names, and how its parameters for them lie."""

    build: Callable[[], PreTrainedModel]
    experts: str
    leaves: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    turned: bool = False
    taking_turns: bool = False


FAMILIES = {
    "granite": Family(granite, "block_sparse_moe.experts", ("w1", "w3", "w2")),
    "gpt_oss": Family(gpt_oss, "mlp.experts", turned=True, taking_turns=True),
    "llama4": Family(llama4, "feed_forward.experts", turned=True),
    "qwen3_vl": Family(qwen3_vl, "mlp.experts"),
    "gemma4": Family(gemma4, "experts"),
}
SCHEMES = [
    Scheme(4, group_size=32),
    Scheme(8, strategy="channel", group_size=None),
    Scheme(2, group_size=32, symmetric=False),
]
W4 = SCHEMES[0]


def made(family: Family, dtype: torch.dtype) -> PreTrainedModel:
    """A random model, the same at every call. transformers gives some experts no numbers of their own."""
    torch.manual_seed(0)
    model = family.build()
    for parameter in model.parameters():
        if parameter.ndim == 3:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.to(dtype).eval()


def reference(trip: Trip, family: Family, dtype: torch.dtype) -> PreTrainedModel:
    """The float model with every quantized weight replaced by what the stored tensors stand for."""
    model, stored = made(family, dtype), trip.stored()
    with torch.no_grad():
        for name, scheme in trip.schemes.items():
            weight = _weight(model, name, family)
            weight.copy_(decoded(stored, name, scheme, weight.shape[1]))
    return model


def _weight(model: PreTrainedModel, name: str, family: Family) -> torch.Tensor:
    """What the weight `name` of the checkpoint is in the model, [outputs, inputs]: of an expert, a view of its stack."""
    owner, found, rest = name.partition(f".{family.experts}.")
    if not found:
        return model.get_parameter(name)
    experts = model.get_submodule(f"{owner}.{family.experts}")
    expert, leaf, _ = rest.split(".")
    at = family.leaves.index(leaf)
    stack = experts.down_proj if at == 2 else experts.gate_up_proj
    whole = stack[int(expert)].T if family.turned else stack[int(expert)]
    if at == 2:
        return whole
    return whole[at::2] if family.taking_turns else whole[at * INNER : (at + 1) * INNER]


def logits(model: PreTrainedModel) -> torch.Tensor:
    torch.manual_seed(1)
    words = torch.randint(3, 100, (2, 12))
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=words, use_cache=False).logits
    return found


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label.replace(" ", "-"))
@pytest.mark.parametrize("kind", FAMILIES)
def test_experts_from_stacks_are_all_quantized_and_compute_what_they_stand_for(
    kind: str, scheme: Scheme, tmp_path: Path
) -> None:
    family = FAMILIES[kind]
    trip = quantize(made(family, torch.float32), tmp_path, Recipe(scheme, format="qtquant"))
    assert linear_coverage(trip.plan.tensors) > 99
    assert sum(f".{family.experts}." in name for name in trip.schemes) == 2 * 4 * 3
    expected = logits(reference(trip, family, torch.float32))
    assert_alike(logits(qtquant_app.load(trip.output)), expected)
    assert not torch.allclose(logits(made(family, torch.float32)), expected)


@pytest.mark.parametrize("kind", FAMILIES)
def test_half_quantized_stacks_load_and_whole_ones_beside_them(kind: str, tmp_path: Path) -> None:
    family = FAMILIES[kind]
    kept = (Rule(f"*.1.{family.experts}.*", "keep"), Rule(f"*.0.{family.experts}.2.*", "keep"))
    trip = quantize(made(family, torch.float32), tmp_path, Recipe(W4, kept, format="qtquant"))
    stacks = [tensor for tensor in trip.plan.tensors if tensor.kind == "expert" and len(tensor.shape) == 3]
    assert len(stacks) == 2 and sum(f".{family.experts}." in name for name in trip.schemes) == 3 * 3
    expected = logits(reference(trip, family, torch.float32))
    assert_alike(logits(qtquant_app.load(trip.output)), expected)


@pytest.mark.parametrize("kind", ["granite", "gpt_oss"])
def test_transformers_says_what_the_warning_says(kind: str, tmp_path: Path) -> None:
    trip = quantize(made(FAMILIES[kind], torch.float32), tmp_path, Recipe(W4))
    assert "stacked-experts" in {warning.code for warning in trip.plan.warnings}
    model_class = type(made(FAMILIES[kind], torch.float32))
    _, info = model_class.from_pretrained(trip.output, output_loading_info=True)
    assert any("experts" in name for name in info["missing_keys"])


def test_a_family_that_transformers_reads_expert_by_expert_loads_there(tmp_path: Path) -> None:
    family = FAMILIES["llama4"]
    trip = quantize(made(family, torch.float32), tmp_path, Recipe(W4))
    assert not trip.plan.warnings
    model, info = transformers.Llama4ForCausalLM.from_pretrained(
        trip.output, dtype=torch.float32, output_loading_info=True
    )
    assert not any(info.values())
    assert_alike(logits(model.eval()), logits(reference(trip, family, torch.float32)))


def test_a_stack_described_wrongly_is_refused(tmp_path: Path) -> None:
    trip = quantize(made(FAMILIES["granite"], torch.float32), tmp_path, Recipe(W4, format="qtquant"))
    config = json.loads((trip.output / "config.json").read_text())
    stack = next(iter(config["quantization_config"]["stacks"].values()))
    stack["leaves"] = ["w1", "w(3"]
    (trip.output / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match="stack of experts"):
        qtquant_app.load(trip.output)
