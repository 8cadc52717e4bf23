"""Qwen2 and Qwen2.5: biases on q, k and v, rows as they are."""

from __future__ import annotations

from qtquant_app.formats.gguf.architectures.base import Architecture
from qtquant_app.formats.gguf.architectures.config import Config


def slides(config: Config) -> str:
    """llama.cpp lets every layer see everything."""
    if config.raw("use_sliding_window", False) is True and "sliding_attention" in config.layer_types:
        return "computes no sliding window for it, and config.json asks for one"
    return ""


QWEN2 = Architecture(name="qwen2", title="Qwen2, Qwen2.5", classes=("Qwen2ForCausalLM",), refuses=slides)
