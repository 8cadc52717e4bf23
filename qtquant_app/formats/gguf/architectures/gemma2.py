"""Gemma 2: norms before and after, capped logits, every other layer with a window; norms are stored less one."""

from __future__ import annotations

from math import isclose

from qtquant_app.formats.gguf.architectures.base import (
    GEMMA_NORMS,
    LLAMA_BLOCK,
    Architecture,
    Metadata,
    other_windows,
    window,
)
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.rope import Rope
from qtquant_app.formats.gguf.values import f32

_LARGE = {"gemma2": 46, "gemma3": 62}
"""Layers of the one size whose attention llama.cpp scales by the hidden width over the heads, and not by the head's width."""


def scaling(arch: str, config: Config) -> str:
    """Whether llama.cpp, which derives the scale of attention, comes to the one of config.json."""
    derived = config.positive("hidden_size") // config.heads if config.layers == _LARGE[arch] else config.head_dim
    asked = config.number("query_pre_attn_scalar")
    if isclose(asked, derived):
        return ""
    return f"scales its attention by {derived}, and config.json asks for {asked:g} (query_pre_attn_scalar)"


def _caps(config: Config, rope: Rope) -> Metadata:
    return {
        "gemma2.attn_logit_softcapping": f32(config.number("attn_logit_softcapping")),
        "gemma2.final_logit_softcapping": f32(config.number("final_logit_softcapping")),
        **window("gemma2", config),
    }


GEMMA2 = Architecture(
    name="gemma2",
    title="Gemma 2",
    classes=("Gemma2ForCausalLM",),
    block={**LLAMA_BLOCK, **GEMMA_NORMS},
    norm_offset=1.0,
    defaults={
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
    more=_caps,
    refuses=lambda config: scaling("gemma2", config) or other_windows(config, 2),
)
