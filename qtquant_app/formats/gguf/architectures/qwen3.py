"""Qwen3: norms on the heads of q and k."""

from __future__ import annotations

from qtquant_app.formats.gguf.architectures.base import LLAMA_BLOCK, QK_NORMS, Architecture
from qtquant_app.formats.gguf.architectures.qwen2 import slides

QWEN3 = Architecture(
    name="qwen3",
    title="Qwen3",
    classes=("Qwen3ForCausalLM",),
    block={**LLAMA_BLOCK, **QK_NORMS},
    refuses=slides,
)
