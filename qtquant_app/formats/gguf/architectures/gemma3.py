"""Gemma 3, its text: as Gemma 2 with norms on q and k, five layers with a window to each without, and no cap on attention."""

from __future__ import annotations

from qtquant_app.formats.gguf.architectures.base import (
    GEMMA_NORMS,
    LLAMA_BLOCK,
    QK_NORMS,
    Architecture,
    Metadata,
    other_windows,
    window,
)
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.gemma2 import scaling
from qtquant_app.formats.gguf.architectures.rope import Rope
from qtquant_app.formats.gguf.values import f32


def _more(config: Config, rope: Rope) -> Metadata:
    found = window("gemma3", config)
    if config.has("final_logit_softcapping"):
        found["gemma3.final_logit_softcapping"] = f32(config.number("final_logit_softcapping"))
    return found


def _refuses(config: Config) -> str:
    if config.has("attn_logit_softcapping"):
        return "caps no attention logits for it, and config.json asks for that"
    return scaling("gemma3", config) or other_windows(config, 6)


GEMMA3 = Architecture(
    name="gemma3",
    title="Gemma 3 (text)",
    classes=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    block={**LLAMA_BLOCK, **GEMMA_NORMS, **QK_NORMS},
    norm_offset=1.0,
    defaults={
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "rope_local_base_freq": 10_000.0,
        "rope_theta": 1_000_000.0,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
        "vocab_size": 262_208,
    },
    more=_more,
    refuses=_refuses,
    text_part_of=("Gemma3ForConditionalGeneration",),
)
