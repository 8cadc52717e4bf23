"""What a model takes on a device while it runs: its weights, the cache of its context, and what every runtime needs besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtquant_app.core.attention_layers import HIDDEN
from qtquant_app.core.decoder_config import Config, decoder_of, generates, whole
from qtquant_app.core.kv_cache import kv_cache
from qtquant_app.core.quantities import bytes_text
from qtquant_app.core.target import Memory

RUNTIME = 500_000_000
"""The driver's context with the kernels of a runtime and its libraries' workspaces: 0.3 to 0.5 GB on an NVIDIA card."""
PREFILL = 2048
"""Tokens of a prompt that are computed at once: vLLM's default `max_num_batched_tokens`; llama.cpp takes 512 of them."""
SCORED = 512
"""Positions whose float32 logits are held at once: llama.cpp sets aside those of its `ubatch`, vLLM those of 256 sequences."""

_ACTIVATION_BYTES = 2
_STREAMS = 6
"""Numbers as wide as the model that a layer holds for a token: the stream, its norm, query, key, value and what comes of them."""
_INNER = 3
"""Numbers as wide as its MLP: gate, up and their product."""
_LOGIT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Overhead:
    """What is neither weights nor cache, in bytes."""

    runtime: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.runtime + self.activations + self.logits

    @property
    def text(self) -> str:
        parts = [f"{bytes_text(self.runtime)} for the runtime itself"]
        if self.activations:
            parts.append(f"{bytes_text(self.activations)} for the layer that is computed")
        if self.logits:
            parts.append(f"{bytes_text(self.logits)} for logits")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The parts that have to fit into a device, in bytes."""

    weights: int
    cache: int
    overhead: Overhead
    limit: int
    """The device's memory."""
    counted: str
    """How the cache was counted, in a sentence."""
    certain: bool

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.overhead.total

    @property
    def text(self) -> str:
        """`weights 3.91 GB + cache 1.07 GB + overhead 1.02 GB = 6.00 GB of 8.00 GB`."""
        parts = (("weights", self.weights), ("cache", self.cache), ("overhead", self.overhead.total))
        said = " + ".join(f"{name} {bytes_text(size)}" for name, size in parts)
        return f"{said} = {bytes_text(self.total)} of {bytes_text(self.limit)}"

    def to_json(self) -> dict[str, Any]:
        return {
            "weights": self.weights,
            "cache": self.cache,
            "overhead": self.overhead.total,
            "runtime": self.overhead.runtime,
            "activations": self.overhead.activations,
            "logits": self.overhead.logits,
            "total": self.total,
            "limit": self.limit,
            "counted": self.counted,
            "certain": self.certain,
        }


def memory_use(config: Config, memory: Memory, weights: int = 0) -> MemoryUse:
    """What a model with this config.json takes of `memory`, its weights being so many bytes on the device."""
    cache = kv_cache(config, memory.context, memory.sequences, memory.kv_bits)
    return MemoryUse(weights, cache.bytes, overhead(config, memory), memory.bytes, cache.counted, cache.certain)


def overhead(config: Config, memory: Memory) -> Overhead:
    """The runtime's own memory, the activations of a stretch of the prompt, and logits, as far as the config gives the sizes.

    Layers come one after another, so that one layer's activations are all there are; attention is taken to be fused.
    """
    decoder = decoder_of(config)
    tokens = memory.context * memory.sequences
    inner = whole(decoder, "intermediate_size", "ffn_dim", "decoder_ffn_dim", "d_ff", "n_inner", "ffn_hidden_size")
    chosen = whole(decoder, "num_experts_per_tok", "moe_topk", "num_experts_per_token") or 1
    hidden = whole(decoder, *HIDDEN)
    widest = max(inner or 4 * hidden, chosen * whole(decoder, "moe_intermediate_size"))
    activations = min(tokens, PREFILL) * (_STREAMS * hidden + _INNER * widest) * _ACTIVATION_BYTES
    scored = min(tokens, SCORED) if generates(config) else 0
    return Overhead(RUNTIME, activations, scored * whole(decoder, "vocab_size") * _LOGIT_BYTES)
