"""Architectures: where each tensor goes, what the header says, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import PlanError
from qtquant_app.formats.gguf.architectures import ARCHITECTURES, architecture_of
from qtquant_app.formats.gguf.architectures.base import row_positions
from tests.unit.formats.gguf.configs import CONFIGS, config


def target(name: str, tensor: str, **changes: object) -> tuple[object, ...] | None:
    architecture, read = architecture_of(config(name, **changes))
    found = architecture.target(read, tensor)
    return None if found is None else (found.name, found.heads, found.expert, found.offset)


def said(name: str, **changes: object) -> dict[str, object]:
    architecture, read = architecture_of(config(name, **changes))
    return {key: value.data for key, value in architecture.metadata(read).items()}


PLACES = [
    ("LlamaForCausalLM", "model.embed_tokens.weight", ("token_embd.weight", 0, None, 0.0)),
    ("LlamaForCausalLM", "model.norm.weight", ("output_norm.weight", 0, None, 0.0)),
    ("LlamaForCausalLM", "lm_head.weight", ("output.weight", 0, None, 0.0)),
    ("LlamaForCausalLM", "model.layers.1.self_attn.q_proj.weight", ("blk.1.attn_q.weight", 4, None, 0.0)),
    ("LlamaForCausalLM", "model.layers.1.self_attn.k_proj.bias", ("blk.1.attn_k.bias", 2, None, 0.0)),
    ("LlamaForCausalLM", "model.layers.0.self_attn.v_proj.weight", ("blk.0.attn_v.weight", 0, None, 0.0)),
    ("LlamaForCausalLM", "model.layers.0.post_attention_layernorm.weight", ("blk.0.ffn_norm.weight", 0, None, 0.0)),
    ("LlamaForCausalLM", "model.layers.0.self_attn.rotary_emb.inv_freq", None),
    (
        "MixtralForCausalLM",
        "model.layers.0.block_sparse_moe.gate.weight",
        ("blk.0.ffn_gate_inp.weight", 0, None, 0.0),
    ),
    (
        "MixtralForCausalLM",
        "model.layers.1.block_sparse_moe.experts.3.w2.weight",
        ("blk.1.ffn_down_exps.weight", 0, 3, 0.0),
    ),
    ("Qwen2ForCausalLM", "model.layers.0.self_attn.q_proj.bias", ("blk.0.attn_q.bias", 0, None, 0.0)),
    ("Qwen3ForCausalLM", "model.layers.0.self_attn.k_norm.weight", ("blk.0.attn_k_norm.weight", 0, None, 0.0)),
    (
        "Qwen3MoeForCausalLM",
        "model.layers.0.mlp.experts.0.gate_proj.weight",
        ("blk.0.ffn_gate_exps.weight", 0, 0, 0.0),
    ),
    ("Gemma2ForCausalLM", "model.norm.weight", ("output_norm.weight", 0, None, 1.0)),
    (
        "Gemma2ForCausalLM",
        "model.layers.0.post_attention_layernorm.weight",
        ("blk.0.post_attention_norm.weight", 0, None, 1.0),
    ),
    (
        "Gemma2ForCausalLM",
        "model.layers.0.pre_feedforward_layernorm.weight",
        ("blk.0.ffn_norm.weight", 0, None, 1.0),
    ),
    ("Gemma2ForCausalLM", "lm_head.weight", None),
    ("Gemma3ForCausalLM", "model.layers.0.self_attn.q_norm.weight", ("blk.0.attn_q_norm.weight", 0, None, 1.0)),
    (
        "Gemma3ForConditionalGeneration",
        "language_model.model.layers.0.mlp.down_proj.weight",
        ("blk.0.ffn_down.weight", 0, None, 0.0),
    ),
    (
        "Gemma3ForConditionalGeneration",
        "model.language_model.layers.0.mlp.up_proj.weight",
        ("blk.0.ffn_up.weight", 0, None, 0.0),
    ),
    ("Gemma3ForConditionalGeneration", "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", None),
    ("Gemma3ForConditionalGeneration", "multi_modal_projector.mm_input_projection_weight", None),
    ("Phi3ForCausalLM", "model.layers.0.self_attn.qkv_proj.weight", ("blk.0.attn_qkv.weight", 0, None, 0.0)),
    ("Phi3ForCausalLM", "model.layers.0.mlp.gate_up_proj.weight", ("blk.0.ffn_up.weight", 0, None, 0.0)),
    ("SmolLM3ForCausalLM", "model.layers.0.self_attn.k_proj.weight", ("blk.0.attn_k.weight", 2, None, 0.0)),
]


@pytest.mark.parametrize(("name", "tensor", "place"), PLACES, ids=lambda value: str(value)[-40:])
def test_a_tensor_has_its_place(name: str, tensor: str, place: tuple[object, ...] | None) -> None:
    assert target(name, tensor) == place


def test_a_tied_head_is_left_out() -> None:
    assert target("LlamaForCausalLM", "lm_head.weight", tie_word_embeddings=True) is None


@pytest.mark.parametrize(
    "tensor",
    [
        "model.layers.2.mlp.up_proj.weight",  # beyond the last layer
        "model.layers.0.mlp.experts.4.up_proj.weight",  # beyond the last expert
        "model.layers.0.mlp.shared_expert.up_proj.weight",
        "transformer.h.0.attn.c_attn.weight",
        "model.layers.0.mlp.up_proj.scale",
    ],
)
def test_a_tensor_with_no_place_is_named(tensor: str) -> None:
    with pytest.raises(ValueError, match="has no place for the tensor"):
        target("Qwen3MoeForCausalLM", tensor)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_says_what_llama_cpp_needs(name: str) -> None:
    architecture, read = architecture_of(config(name))
    found = said(name)
    for key in ("block_count", "context_length", "embedding_length", "attention.head_count", "rope.freq_base"):
        assert f"{architecture.name}.{key}" in found
    assert found[f"{architecture.name}.block_count"] == 2
    assert all(key.split(".")[0] == architecture.name for key in found)
    assert name in architecture.classes and read.heads == 4


def test_every_class_belongs_to_one_architecture() -> None:
    classes = [name for architecture in ARCHITECTURES for name in architecture.classes]
    assert len(classes) == len(set(classes)) and set(classes) == set(CONFIGS)


def test_a_llama_is_described_in_full() -> None:
    assert said("LlamaForCausalLM", rope_parameters={"rope_theta": 5e5, "rope_type": "default"}) == {
        "llama.block_count": 2,
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 5e5,
        "llama.vocab_size": 128,
        "llama.rope.dimension_count": 16,
    }


def test_experts_are_counted() -> None:
    found = said("Qwen3MoeForCausalLM")
    assert (found["qwen3moe.expert_count"], found["qwen3moe.expert_used_count"]) == (4, 2)
    assert found["qwen3moe.expert_feed_forward_length"] == 32


def test_old_and_new_words_for_rotary_positions_say_the_same() -> None:
    yarn = {"factor": 4.0, "original_max_position_embeddings": 128}
    old = said("Qwen2ForCausalLM", rope_theta=1e6, rope_scaling={"type": "yarn", **yarn})
    new = said("Qwen2ForCausalLM", rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, **yarn})
    assert old == new
    assert old["qwen2.rope.scaling.type"] == "yarn" and old["qwen2.rope.scaling.original_context_length"] == 128


def test_gemma_s_layers_with_a_window_turn_at_their_own_speed() -> None:
    apart = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_theta": 1e4},
    }
    found = said("Gemma3ForCausalLM", rope_parameters=apart)
    assert (found["gemma3.rope.freq_base"], found["gemma3.rope.freq_base_swa"]) == (1e6, 1e4)
    assert (found["gemma3.rope.scaling.type"], found["gemma3.rope.scaling.factor"]) == ("linear", 8.0)


def test_what_a_text_config_leaves_out_is_gemma_s_default() -> None:
    short = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
    architecture, read = architecture_of({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": short})
    found = {key: value.data for key, value in architecture.metadata(read).items()}
    assert (found["gemma3.attention.head_count"], found["gemma3.attention.head_count_kv"]) == (8, 4)
    assert (found["gemma3.attention.key_length"], found["gemma3.rope.freq_base"]) == (256, 1e6)


def test_llama_3_s_frequencies_become_a_tensor() -> None:
    rope = {
        "rope_type": "llama3",
        "rope_theta": 10_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    architecture, read = architecture_of(config("LlamaForCausalLM", rope_parameters=rope))
    factors = architecture.made(read)["rope_freqs.weight"]
    assert factors.shape == (8,) and factors.dtype == np.float32
    waves = [2 * math.pi * 10_000 ** (i / 8) for i in range(8)]
    assert all(factor == 1 for factor, wave in zip(factors, waves, strict=True) if wave < 32)
    assert all(factor == 8 for factor, wave in zip(factors, waves, strict=True) if wave > 128)
    assert all(1 < factor < 8 for factor, wave in zip(factors, waves, strict=True) if 32 < wave < 128)


def test_longrope_becomes_two_tensors() -> None:
    rope = {"rope_type": "longrope", "long_factor": [2.0] * 8, "short_factor": [1.0] * 8}
    changes = {"rope_parameters": rope, "original_max_position_embeddings": 128}
    architecture, read = architecture_of(config("Phi3ForCausalLM", **changes))
    made = architecture.made(read)
    assert made["rope_factors_long.weight"].tolist() == [2.0] * 8
    assert made["rope_factors_short.weight"].tolist() == [1.0] * 8
    factor = said("Phi3ForCausalLM", **changes)["phi3.rope.scaling.attn_factor"]
    assert factor == pytest.approx(math.sqrt(1 + math.log(4) / math.log(128)))
    rope["long_factor"] = [2.0]
    with pytest.raises(ValueError, match="8 numbers"):
        architecture.made(architecture_of(config("Phi3ForCausalLM", **changes))[1])


REFUSED = [
    (config("Qwen2ForCausalLM", architectures=["BertModel"]), "does not know the architecture 'BertModel'"),
    ({"hidden_size": 5}, "does not say of which architecture"),
    (config("Qwen3MoeForCausalLM", mlp_only_layers=[0]), "blocks without"),
    (config("Qwen3MoeForCausalLM", norm_topk_prob=False), "sum to 1"),
    (config("Gemma2ForCausalLM", query_pre_attn_scalar=144), "query_pre_attn_scalar"),
    (config("Gemma3ForCausalLM", layer_types=["full_attention", "full_attention"]), "sliding window"),
    (config("Gemma3ForCausalLM", attn_logit_softcapping=50.0), "caps no attention"),
    (config("SmolLM3ForCausalLM", no_rope_layers=[0, 1]), "every fourth"),
    (config("Gemma2ForCausalLM", num_hidden_layers="two"), "num_hidden_layers"),
    (config("Gemma2ForCausalLM", num_hidden_layers=1 << 40), "more than any model"),
]


@pytest.mark.parametrize(("data", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_llama_cpp_would_compute_otherwise_is_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        architecture_of(data)


@given(st.integers(1, 12), st.integers(1, 40))
def test_rows_change_places_within_their_head(heads: int, half: int) -> None:
    rows = heads * half * 2
    positions = row_positions(rows, heads)
    assert sorted(positions) == list(range(rows))
    stored = np.empty(rows, np.int64)
    stored[positions] = np.arange(rows)
    # llama.cpp turns neighbours: the pair (2j, 2j + 1) of a head must be rows j and j + half of the source.
    pairs = stored.reshape(heads, half, 2)
    assert (pairs[..., 0] % (2 * half) < half).all()
    assert np.array_equal(pairs[..., 0] + half, pairs[..., 1])


def test_rows_that_are_no_two_halves_a_head_are_refused() -> None:
    with pytest.raises(ValueError, match="two halves"):
        row_positions(10, 2)
