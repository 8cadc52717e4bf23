"""The bytes of keys and values, counted from a config, are those that transformers keeps when it runs the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, EncoderDecoderCache

from qtquant_app.core.decoder_config import DEFAULTS, PATTERNS
from qtquant_app.core.kv_cache import kv_cache

LENGTH, WORDS = 24, 64
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": WORDS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MLA = {"kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_group": 1, "topk_group": 1}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "head_dim": 16,
}
SPEECH: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": WORDS,
    "num_mel_bins": 8,
    "max_source_positions": 16,
    "max_target_positions": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
DECODERS: list[PreTrainedConfig] = [
    transformers.LlamaConfig(**SIZES),
    transformers.LlamaConfig(**{**SIZES, "num_key_value_heads": 4, "head_dim": 24}),
    transformers.GPT2Config(n_layer=3, n_head=4, n_embd=32, vocab_size=WORDS),
    transformers.OPTConfig(
        hidden_size=32, ffn_dim=32, num_hidden_layers=2, num_attention_heads=4, vocab_size=WORDS, word_embed_proj_dim=32
    ),
    transformers.GPTBigCodeConfig(n_layer=3, n_head=4, n_embd=32, vocab_size=WORDS),
    transformers.FalconConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, vocab_size=WORDS),
    transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=WORDS),
    transformers.DeepseekV3Config(**{**SIZES, "num_key_value_heads": 4}, **MLA, **EXPERTS, first_k_dense_replace=1),
    transformers.Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=512),
    transformers.Qwen2Config(**SIZES),
]


def run(model: PreTrainedModel, length: int, **given: torch.Tensor) -> Cache:
    words = {"decoder_input_ids" if given else "input_ids": torch.randint(3, WORDS, (2, length))}
    with torch.no_grad():
        return model.float().eval()(**words, **given, use_cache=True).past_key_values  # type: ignore[no-any-return]


def kept(cache: Cache) -> int:
    """Bytes of keys and values, as 16-bit numbers."""
    layers = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    return sum(2 * (layer.keys.numel() + layer.values.numel()) for layer in layers)


def counted(config: PreTrainedConfig, length: int = LENGTH) -> int:
    return kv_cache(config.to_dict(), length, sequences=2).bytes


@pytest.mark.parametrize("config", DECODERS, ids=lambda config: config.model_type)
def test_a_decoder_keeps_what_is_counted(config: PreTrainedConfig) -> None:
    model = transformers.AutoModelForCausalLM.from_config(config)
    assert counted(config) == kept(run(model, LENGTH)) > 0
    assert kv_cache(config.to_dict(), LENGTH).certain


@pytest.mark.parametrize("family", [transformers.Gemma2Config, transformers.Gemma3TextConfig])
def test_a_window_bounds_what_its_layers_keep(family: type[PreTrainedConfig]) -> None:
    """transformers keeps one token less than the window: the next one completes it."""
    config = family(**SIZES, head_dim=16, sliding_window=9)
    model = transformers.AutoModelForCausalLM.from_config(config)
    found = kv_cache({**config.to_dict(), "sliding_window": 8}, LENGTH, sequences=2)
    assert found.bytes == kept(run(model, LENGTH)) < kept(run(model, 2 * LENGTH))
    assert "the last 8 tokens only; a runtime that keeps all takes" in found.counted


def test_the_layers_that_have_a_window_are_known_without_a_list_of_them() -> None:
    for config in (transformers.Gemma2Config(**SIZES), transformers.Gemma3TextConfig(**SIZES)):
        data = config.to_dict()
        whole = kv_cache(data, 10**6)
        assert kv_cache({key: value for key, value in data.items() if key != "layer_types"}, 10**6) == whole


def test_layers_of_linear_attention_keep_a_state_and_no_tokens() -> None:
    config = transformers.Qwen3NextConfig(**SIZES, **LINEAR, num_experts=2, num_experts_per_tok=1)
    cache = run(transformers.AutoModelForCausalLM.from_config(config), LENGTH)
    states = [layer.recurrent_states for layer in cache.layers if hasattr(layer, "recurrent_states")]
    tensors = [t for found in states for t in (found.values() if isinstance(found, dict) else [found])]
    assert len(tensors) == 5
    assert counted(config) == kept(cache) + sum(4 * t.numel() for t in tensors)
    bare = {key: value for key, value in config.to_dict().items() if key != "layer_types"}
    assert kv_cache(bare, LENGTH, sequences=2).bytes == counted(config)


def test_mixes_of_recurrent_layers_and_attention_are_read_as_transformers_reads_them() -> None:
    for config in (
        transformers.JambaConfig(**SIZES, attn_layer_period=3, attn_layer_offset=1),
        transformers.RecurrentGemmaConfig(**SIZES, attention_window_size=8),
        transformers.BambaConfig(**SIZES, mamba_n_heads=8, attn_layer_indices=[2, 5]),
        transformers.Lfm2Config(**SIZES, full_attn_idxs=[1, 4]),
    ):
        kinds = config.layer_types if hasattr(config, "layer_types") else config.layers_block_type
        attending = sum("attention" in kind and "linear" not in kind for kind in kinds)
        data = {k: v for k, v in config.to_dict().items() if k not in ("layer_types", "layers_block_type")}
        grown = kv_cache(data, 7).bytes - kv_cache(data, 6).bytes
        assert grown == attending * 2 * 2 * 8 * 2, config.model_type
        assert kv_cache({**data, "layer_types": kinds}, 7).bytes == kv_cache(data, 7).bytes


def test_layers_that_share_the_cache_of_others_have_none() -> None:
    config = transformers.Gemma3nTextConfig(
        **{**SIZES, "num_hidden_layers": 10}, head_dim=16, num_kv_shared_layers=5, sliding_window=4096
    )
    modes = config.kv_sharing_modes
    own = sum(mode != "reuse" for mode in modes)
    assert 0 < own < 10
    assert counted(config) == 2 * 2 * LENGTH * own * 2 * 2 * 16


def test_speech_keeps_its_encoder_besides() -> None:
    config = transformers.WhisperConfig(**SPEECH)
    model = transformers.WhisperForConditionalGeneration(config)
    cache = run(model, LENGTH, input_features=torch.randn(2, 8, 32))
    assert isinstance(cache, EncoderDecoderCache)
    own, other = kept(cache.self_attention_cache), kept(cache.cross_attention_cache)
    assert counted(config) == own + other
    assert counted(config, 10**6) == own * 32 // LENGTH + other


def test_a_text_encoder_is_taken_to_read_as_much_as_is_written() -> None:
    config = transformers.T5Config(
        d_model=32, d_kv=12, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=4, vocab_size=WORDS
    )
    model = transformers.T5ForConditionalGeneration(config)
    cache = run(model, LENGTH, input_ids=torch.randint(3, WORDS, (2, LENGTH)))
    assert isinstance(cache, EncoderDecoderCache)
    assert counted(config) == kept(cache.self_attention_cache) + kept(cache.cross_attention_cache)


def test_a_model_that_sees_is_counted_by_the_part_that_speaks() -> None:
    text = transformers.LlamaConfig(**SIZES)
    config = transformers.LlavaConfig(text_config=text, vision_config=transformers.CLIPVisionConfig())
    assert counted(config) == counted(text)
    assert kv_cache({"architectures": ["InternVLChatModel"], "llm_config": text.to_dict()}, 9) == kv_cache(
        text.to_dict(), 9
    )


@pytest.mark.parametrize("config", [transformers.BertConfig(), transformers.ViTConfig(), transformers.CLIPConfig()])
def test_an_encoder_keeps_nothing(config: PreTrainedConfig) -> None:
    found = kv_cache(config.to_dict(), 8192)
    assert found.bytes == 0 and found.certain and "encoder" in found.counted


@pytest.mark.parametrize("config", [{}, {"vocab_size": 5}, {"vocab_size": 5, "num_hidden_layers": 3}])
def test_what_cannot_be_counted_is_said(config: dict[str, Any]) -> None:
    found = kv_cache(config, 8192)
    assert found.bytes == 0 and not found.certain and "config.json" in found.counted


def test_layers_of_an_unknown_kind_are_counted_as_attention_and_that_is_said() -> None:
    config = transformers.LlamaConfig(**SIZES).to_dict()
    found = kv_cache({**config, "layer_types": ["something_new"] * 6}, 100)
    assert found.bytes == kv_cache(config, 100).bytes
    assert not found.certain and "estimate" in found.counted


@pytest.mark.parametrize("family", sorted(DEFAULTS))
def test_what_a_config_leaves_out_is_what_transformers_takes(family: str) -> None:
    standard = transformers.AutoConfig.for_model(family)
    assert {key: getattr(standard, key) for key in DEFAULTS[family]} == DEFAULTS[family]


@pytest.mark.parametrize("family", sorted(PATTERNS))
def test_where_a_family_has_windows_is_what_transformers_takes(family: str) -> None:
    kinds = transformers.AutoConfig.for_model(family).layer_types
    every = PATTERNS[family]
    assert [kind == "full_attention" for kind in kinds] == [(at + 1) % every == 0 for at in range(len(kinds))]


CONFIG = transformers.Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=512).to_dict()


@given(st.integers(1, 10_000), st.integers(1, 9), st.sampled_from([4, 8, 16]))
def test_more_tokens_sequences_and_bits_never_take_less(context: int, sequences: int, bits: int) -> None:
    found = kv_cache(CONFIG, context, sequences, bits).bytes
    assert found <= kv_cache(CONFIG, context + 1, sequences, bits).bytes
    assert found * (sequences + 1) <= kv_cache(CONFIG, context, sequences + 1, bits).bytes * sequences + sequences + 1
    assert bits == 16 or found < kv_cache(CONFIG, context, sequences, 2 * bits).bytes


def test_numbers_of_fewer_bits_take_their_scales_too() -> None:
    sizes = {bits: kv_cache(CONFIG, 512, bits=bits).bytes for bits in (16, 8, 4)}
    assert sizes[8] * 32 == sizes[16] * 17 and sizes[4] * 32 == sizes[16] * 9
