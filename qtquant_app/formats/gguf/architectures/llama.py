"""Llama, Mistral and SmolLM: rotary pairs lie apart in the checkpoint and side by side in the file."""

from __future__ import annotations

from collections.abc import Mapping

from qtquant_app.formats.gguf.architectures.base import Architecture, Metadata
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.rope import Factors, Rope
from qtquant_app.formats.gguf.values import u32


def sizes(config: Config, rope: Rope) -> Metadata:
    """What llama.cpp wants said of a Llama besides."""
    return {"llama.vocab_size": u32(config.positive("vocab_size")), "llama.rope.dimension_count": u32(config.head_dim)}


def frequencies(config: Config, rope: Rope) -> Mapping[str, Factors]:
    """Llama 3's scaling of its frequencies, as a tensor."""
    factors = rope.llama3_factors(config.head_dim)
    return {} if factors is None else {"rope_freqs.weight": factors}


LLAMA = Architecture(
    name="llama",
    title="Llama, Mistral, SmolLM",
    classes=("LlamaForCausalLM", "MistralForCausalLM"),
    permuted=True,
    more=sizes,
    factors=frequencies,
)
