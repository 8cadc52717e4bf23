"""SmolLM3: a Llama of which every fourth layer has no positions."""

from __future__ import annotations

from dataclasses import replace

from qtquant_app.formats.gguf.architectures.base import Metadata
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.llama import LLAMA
from qtquant_app.formats.gguf.architectures.rope import Rope
from qtquant_app.formats.gguf.values import u32

_PERIOD = 4


def _more(config: Config, rope: Rope) -> Metadata:
    return {
        "smollm3.vocab_size": u32(config.positive("vocab_size")),
        "smollm3.rope.dimension_count": u32(config.head_dim),
    }


def _refuses(config: Config) -> str:
    usual = [int((layer + 1) % _PERIOD != 0) for layer in range(config.layers)]
    if config.raw("no_rope_layers", usual) != usual or config.count_or("no_rope_layer_interval", _PERIOD) != _PERIOD:
        return "leaves positions out of every fourth layer, and config.json of others"
    return ""


SMOLLM3 = replace(
    LLAMA,
    name="smollm3",
    title="SmolLM3",
    classes=("SmolLM3ForCausalLM",),
    defaults={"rope_theta": 2_000_000.0, "tie_word_embeddings": True},
    more=_more,
    refuses=_refuses,
)
