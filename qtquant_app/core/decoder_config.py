"""The part of a config.json that describes the decoder, whatever its family calls things and wherever it is nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]

_NESTED = ("text_config", "llm_config", "language_config", "thinker_config", "decoder", "generator")
"""Where models that see or hear keep what they speak with."""

_ENCODERS = frozenset(
    "albert bert big_bird canine chinese_clip clip clip_text_model clip_vision_model convbert deberta deberta-v2 deit dinov2"
    " dinov3_vit distilbert electra ernie esm eurobert funnel gte hubert ibert layoutlm layoutlmv3 longformer luke mobilebert"
    " modernbert mpnet nomic_bert nystromformer roberta roberta-prelayernorm siglip siglip2 siglip_text_model"
    " siglip_vision_model squeezebert swin vit vit_mae wav2vec2 wav2vec2-bert wavlm xlm-roberta xlm-roberta-xl xmod".split()
)
_ENCODING = (
    "EncoderModel",
    "ForMaskedLM",
    "ForImageClassification",
    "ForAudioClassification",
    "ForCTC",
    "ForTokenClassification",
)
"""Ends of the names of architectures that read all of their input at once and generate nothing."""
_GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForVision2Seq", "ForImageTextToText")

_QWEN = {"use_sliding_window": False}
_GEMMA = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}
_LLAMA = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000}
DEFAULTS: Mapping[str, Config] = {
    "llama": _LLAMA,
    "mistral": {**_LLAMA, "num_key_value_heads": 8},
    "gemma": {"num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256},
    "gemma2": _GEMMA,
    "gemma3_text": {**_GEMMA, "vocab_size": 262208},
    "gemma3n_text": {
        "vocab_size": 262400,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "sliding_window": 512,
        "num_kv_shared_layers": 15,
    },
    "gpt_oss": {"num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128},
    "falcon": {"multi_query": True},
    "gpt_bigcode": {"multi_query": True},
    "jamba": {"num_key_value_heads": 8, "attn_layer_period": 8, "attn_layer_offset": 4},
    "qwen3_next": {"num_key_value_heads": 2, "head_dim": 256},
    "t5": {"d_kv": 64},
    "qwen2": _QWEN,
    "qwen2_moe": _QWEN,
    "qwen3": {**_QWEN, "head_dim": 128},
    "qwen3_moe": {**_QWEN, "num_key_value_heads": 4},
}
"""What transformers 5.23 takes where a config.json says nothing: many leave out what is the default of their family."""

PATTERNS = {"gemma2": 2, "gemma3_text": 6, "gemma3n_text": 5, "gpt_oss": 2, "cohere2": 4, "olmo3": 4}
"""Every so manieth layer sees everything, and the others a window, where a config of the family does not say which do."""


def decoder_of(config: Config) -> Config:
    """The decoder's own part of `config`, with what its family takes for granted; `config` itself where it is not nested."""
    for key in _NESTED:
        inner = config.get(key)
        if isinstance(inner, Mapping) and inner:
            return decoder_of(inner)
    given = {key: value for key, value in config.items() if value is not None}
    nulls = {key for key, value in config.items() if value is None}
    taken = DEFAULTS.get(str(config.get("model_type", "")), {})
    return {**{key: value for key, value in taken.items() if key not in nulls}, **given}


def generates(config: Config) -> bool:
    """Whether the model makes one token after another, and so keeps keys and values; an encoder does not."""
    if config.get("is_decoder"):
        return True
    if str(config.get("model_type")) in _ENCODERS:
        return False
    architectures = config.get("architectures")
    named = architectures if isinstance(architectures, list) else []
    names = [name for name in named if isinstance(name, str)]
    if any(name.endswith(_ENCODING) for name in names):
        return False
    return any(name.endswith(_GENERATING) for name in names) or "vocab_size" in decoder_of(config)


def whole(config: Config, *names: str) -> int:
    """The first of `names` that the config gives as a positive whole number; 0 where it gives none."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def part(config: Config, name: str) -> Config:
    """A nested mapping; an empty one where there is none."""
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}
