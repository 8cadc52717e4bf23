"""The smallest config.json of each architecture."""

from __future__ import annotations

from typing import Any

BASE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 512,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 128,
}
EXPERTS = {"num_experts_per_tok": 2}
GEMMA = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64}

CONFIGS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": BASE,
    "MistralForCausalLM": {**BASE, "head_dim": 32},
    "MixtralForCausalLM": {**BASE, **EXPERTS, "num_local_experts": 4},
    "Qwen2ForCausalLM": BASE,
    "Qwen3ForCausalLM": {**BASE, "head_dim": 32},
    "Qwen3MoeForCausalLM": {**BASE, **EXPERTS, "num_experts": 4, "moe_intermediate_size": 32},
    "Gemma2ForCausalLM": {**BASE, **GEMMA},
    "Gemma3ForCausalLM": {**BASE, **GEMMA},
    "Gemma3ForConditionalGeneration": {"text_config": {**BASE, **GEMMA}, "vision_config": {"hidden_size": 8}},
    "Phi3ForCausalLM": BASE,
    "SmolLM3ForCausalLM": BASE,
}


def config(name: str, **changes: Any) -> dict[str, Any]:
    """The config of the class called `name`, with `changes`."""
    return {"architectures": [name], **CONFIGS[name], **changes}
