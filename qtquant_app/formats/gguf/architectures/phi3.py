"""Phi-3, Phi-3.5 mini and Phi-4: q, k and v in one matrix, gate and up in another, as llama.cpp has them too."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qtquant_app.formats.gguf.architectures.base import Architecture, Metadata
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.rope import Factors, Rope
from qtquant_app.formats.gguf.values import f32, u32


def _turned(config: Config, rope: Rope) -> int:
    """How much of a head turns with the position."""
    share = rope.parameters.get("partial_rotary_factor", config.raw("partial_rotary_factor", 1.0))
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise ValueError("partial_rotary_factor must lie between 0 and 1")
    return int(share * config.positive("hidden_size")) // config.heads


def _original(config: Config, rope: Rope) -> int:
    key = "original_max_position_embeddings"
    if key in rope.parameters:
        return rope.fields.count(key)
    return config.count_or(key, config.positive("max_position_embeddings"))


def _more(config: Config, rope: Rope) -> Metadata:
    original = _original(config, rope)
    found = {
        "phi3.rope.scaling.original_context_length": u32(original),
        "phi3.rope.dimension_count": u32(_turned(config, rope)),
        "phi3.attention.sliding_window": u32(config.count_or("sliding_window", 0)),
    }
    if rope.long_and_short(_turned(config, rope)) is not None:
        found["phi3.rope.scaling.attn_factor"] = f32(_attention_factor(config, rope, original))
    return found


def _attention_factor(config: Config, rope: Rope, original: int) -> float:
    """What longrope multiplies attention by: sqrt(1 + ln(scale) / ln(original length)), LongRoPE, section 3."""
    scale = config.positive("max_position_embeddings") / max(original, 2)
    if scale <= 1:
        return 1.0
    if rope.type == "yarn":
        return 0.1 * math.log(scale) + 1
    return math.sqrt(1 + math.log(scale) / math.log(original))


def _factors(config: Config, rope: Rope) -> Mapping[str, Factors]:
    found = rope.long_and_short(_turned(config, rope))
    if found is None:
        return {}
    return {"rope_factors_long.weight": found[0], "rope_factors_short.weight": found[1]}


PHI3 = Architecture(
    name="phi3",
    title="Phi-3, Phi-4",
    classes=("Phi3ForCausalLM",),
    block={
        "input_layernorm": "attn_norm",
        "self_attn.qkv_proj": "attn_qkv",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    },
    more=_more,
    factors=_factors,
)
