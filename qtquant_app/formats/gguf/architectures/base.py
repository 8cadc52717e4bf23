"""What an architecture is to llama.cpp: which tensors it has, what its metadata are called, how its rows lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.rope import Factors, Rope
from qtquant_app.formats.gguf.values import Value, f32, u32

Metadata = dict[str, Value]

LLAMA_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""The modules of a block of Llama and what llama.cpp calls them; most others differ by a few."""

QK_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}

GEMMA_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}

_BLOCK = re.compile(r"(?:model\.)?layers\.(\d{1,5})\.(.+)\.(weight|bias)")
_EXPERT = re.compile(r"(.+\.experts)\.(\d{1,5})\.(\w+)")
_WHOLE = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
_HEAD = "lm_head.weight"
_IGNORED = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")
"""Buffers that are computed anew."""
_PREFIXES = ("model.language_model.", "language_model.model.", "model.")
_OTHER_PARTS = re.compile(r"(?:model\.)?(?:vision_tower|vision_model|multi_modal_projector|visual|audio_tower)\.")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tensor of the checkpoint goes."""

    name: str
    heads: int = 0
    """Rows are put in another order within each of so many heads; 0: they stay."""
    expert: int | None = None
    """Which slice of a stack of experts it is."""
    offset: float = 0.0
    """What is added to each value."""


@dataclass(frozen=True)
class Architecture:
    """One architecture: pure functions of config.json and of tensors' names."""

    name: str
    """llama.cpp's name of it."""
    title: str
    classes: tuple[str, ...]
    """What config.json calls it under `architectures`."""
    block: Mapping[str, str] = field(default_factory=lambda: LLAMA_BLOCK)
    experts: Mapping[str, str] = field(default_factory=dict)
    """`...experts` and a projection, joined by a dot, and the stack they become."""
    permuted: bool = False
    """Whether the rows of q and k are interleaved: llama.cpp turns pairs of neighbours, transformers halves."""
    norm_offset: float = 0.0
    """What the model adds to every norm's weight, and llama.cpp expects added."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What holds where config.json says nothing: transformers' defaults, as far as files rest on them."""
    more: Callable[[Config, Rope], Metadata] = field(default=lambda config, rope: {})
    """Metadata beyond the usual."""
    refuses: Callable[[Config], str] = field(default=lambda config: "")
    """Why llama.cpp would compute something else for this config, as the end of a sentence; empty where it would not."""
    factors: Callable[[Config, Rope], Mapping[str, Factors]] = field(default=lambda config, rope: {})
    """Tensors that no tensor of the checkpoint becomes."""
    text_part_of: tuple[str, ...] = ()
    """Those of `classes` that have more than text to them, which is left out."""

    def metadata(self, config: Config) -> Metadata:
        """All `ARCH.*` values. Raises ValueError naming what config.json lacks."""
        rope = Rope(config)
        return usual(self.name, config) | rope.metadata(self.name) | self.more(config, rope)

    def made(self, config: Config) -> Mapping[str, Factors]:
        """The float32 tensors that are computed from config.json, by name."""
        return self.factors(config, Rope(config))

    def target(self, config: Config, name: str) -> Target | None:
        """Where the tensor called `name` goes; None where it is left out. Raises ValueError where there is no place for it."""
        if name.endswith(_IGNORED) or _OTHER_PARTS.match(name):
            return None
        if name.removeprefix("language_model.") == _HEAD:
            return None if config.tied else Target("output.weight")
        plain = _plain(name)
        if plain in _WHOLE:
            return Target(_WHOLE[plain], offset=self._offset(plain))
        found = _BLOCK.fullmatch(plain)
        target = found and int(found[1]) < config.layers and self._in_block(config, int(found[1]), found[2], found[3])
        if not target:
            raise ValueError(f"has no place for the tensor {shown(name)}")
        return target

    def _in_block(self, config: Config, layer: int, module: str, part: str) -> Target | None:
        if module in self.block:
            heads = self._heads(config, module)
            return Target(f"blk.{layer}.{self.block[module]}.{part}", heads, offset=self._offset(f"{module}.{part}"))
        expert = _EXPERT.fullmatch(module)
        if expert is None or int(expert[2]) >= config.experts:
            return None
        stack = self.experts.get(f"{expert[1]}.{expert[3]}")
        return None if stack is None else Target(f"blk.{layer}.{stack}.{part}", expert=int(expert[2]))

    def _heads(self, config: Config, module: str) -> int:
        if not self.permuted:
            return 0
        return {"self_attn.q_proj": config.heads, "self_attn.k_proj": config.kv_heads}.get(module, 0)

    def _offset(self, name: str) -> float:
        return self.norm_offset if name.endswith("norm.weight") else 0.0


def _plain(name: str) -> str:
    """`name` without what stands before `layers` or `embed_tokens`."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def row_positions(rows: int, heads: int) -> NDArray[np.int64]:
    """Where each of `rows` rows of a query or key projection of `heads` heads goes: int64 [rows].

    transformers rotates a head's first half against its second; llama.cpp rotates neighbours. So row j of the first half
    becomes row 2j of the head, row j of the second 2j + 1. Raises ValueError where heads have no two equal halves.
    """
    if not heads or rows % (2 * heads):
        raise ValueError(f"{rows} rows are not {heads} heads of two halves each")
    half = rows // heads // 2
    head, part, place = np.indices((heads, 2, half), dtype=np.int64)
    positions: NDArray[np.int64] = (head * 2 * half + 2 * place + part).reshape(rows)
    return positions


def usual(arch: str, config: Config) -> Metadata:
    """The metadata that all decoders have."""
    found = {
        "block_count": u32(config.layers),
        "context_length": u32(config.positive("max_position_embeddings")),
        "embedding_length": u32(config.positive("hidden_size")),
        "feed_forward_length": u32(config.count("intermediate_size")),
        "attention.head_count": u32(config.heads),
        "attention.head_count_kv": u32(config.kv_heads),
        "attention.layer_norm_rms_epsilon": f32(config.number_or("rms_norm_eps", 1e-6)),
    }
    if config.has("head_dim"):
        found["attention.key_length"] = found["attention.value_length"] = u32(config.head_dim)
    if config.experts:
        found["expert_count"] = u32(config.experts)
        found["expert_used_count"] = u32(config.positive("num_experts_per_tok"))
    return {f"{arch}.{key}": value for key, value in found.items()}


def window(arch: str, config: Config) -> Metadata:
    """The width of the sliding window, where there is one."""
    if not config.has("sliding_window"):
        return {}
    return {f"{arch}.attention.sliding_window": u32(config.positive("sliding_window"))}


def other_windows(config: Config, period: int) -> str:
    """Whether the layers with a window are others than all but each `period`-th, which llama.cpp takes for granted."""
    slides = [kind == "sliding_attention" for kind in config.layer_types]
    if not slides or not config.has("sliding_window"):
        return ""
    if slides == [layer % period < period - 1 for layer in range(config.layers)]:
        return ""
    return f"gives all layers but every {period}th a sliding window, and config.json says otherwise"
