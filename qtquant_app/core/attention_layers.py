"""What each decoder layer keeps of the tokens it has seen, read off a config.json.

Names and rules are those of transformers 5.23 (`cache_utils.get_layer_types_and_kwargs` and the models' config classes), which
vLLM and llama.cpp's converter read too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qtquant_app.core.decoder_config import PATTERNS, Config, part, whole

Kind = Literal["full", "window", "none", "shared"]
"""All tokens; the last ones; a state of fixed size or nothing at all; what another layer keeps."""

_FULL = frozenset(
    {"full_attention", "attention", "indexed_attention", "hybrid", "full", "global", "reference_sliding_attention", "*"}
)
_WINDOW = frozenset({"sliding_attention", "chunked_attention", "hybrid_sliding", "sliding", "local"})
_NONE = frozenset(
    {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "moe", "mlp", "kda", "dummy", "M", "-", "E"}
)
_STATEFUL = frozenset({"linear_attention", "mamba", "mamba2", "recurrent", "kda", "M", "hybrid", "hybrid_sliding"})
_RECURRENT = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"})
"""Families without any attention."""

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
HIDDEN = ("hidden_size", "n_embd", "d_model", "n_embed")
_DECODER_LAYERS = ("decoder_layers", "num_decoder_layers", "decoder_num_hidden_layers", *LAYERS)
_DECODER_HEADS = ("decoder_attention_heads", "decoder_num_attention_heads", *HEADS)
_KEY_HEADS = (
    "decoder_num_key_value_heads",
    "num_key_value_heads",
    "num_kv_heads",
    "n_head_kv",
    "kv_n_heads",
    "multi_query_group_num",
)
_HEAD_SIZE = ("head_dim", "attention_head_dim", "kv_channels", "d_kv")


MOST_LAYERS = 10_000
"""Ten times as many as any model has. A config may say any number, and each layer is looked at."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The numbers that one attention layer keeps of a token: keys and values of some heads, or one latent for both."""

    heads: int
    key: int
    """Numbers of one head's key."""
    value: int
    latent: bool = False

    @property
    def width(self) -> int:
        """Numbers a token."""
        return self.key + self.value if self.latent else self.heads * (self.key + self.value)


def layer_count(config: Config) -> int:
    """How many layers the decoder has; 0 where its config does not say."""
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str) and pattern:
        return min(MOST_LAYERS, len(pattern))
    return min(MOST_LAYERS, whole(config, *(_DECODER_LAYERS if config.get("is_encoder_decoder") else LAYERS)))


def heads_of(config: Config, kind: Kind) -> Heads | None:
    """What a layer of full or windowed attention keeps of a token; None where the config does not say."""
    rank, rope = whole(config, "kv_lora_rank"), whole(config, "qk_rope_head_dim")
    if rank:
        return Heads(1, rank + whole(config, "index_head_dim"), rope, latent=True)
    queries = whole(config, *(_DECODER_HEADS if config.get("is_encoder_decoder") else HEADS))
    size = whole(config, *_HEAD_SIZE) or (whole(config, *HIDDEN) // queries if queries else 0)
    count, value = _key_heads(config) or queries, whole(config, "v_head_dim") or size
    if kind == "window":
        size, value = whole(config, "swa_head_dim") or size, whole(config, "swa_v_head_dim", "swa_head_dim") or value
        count = whole(config, "swa_num_key_value_heads") or count
    elif whole(config, "global_head_dim"):
        size = value = whole(config, "global_head_dim")
        count = whole(config, "num_global_key_value_heads") or count
    return Heads(count, size, value) if count and size else None


def _key_heads(config: Config) -> int:
    """How many heads have keys and values of their own; 0 where all have."""
    if config.get("multi_query") is True and not config.get("new_decoder_architecture"):
        return 1
    if config.get("multi_query_attention") is False:
        return 0
    return whole(config, *_KEY_HEADS) or whole(part(config, "attn_config"), "kv_n_heads")


def window_of(config: Config) -> int:
    """Tokens that a layer with a window, or with chunks, looks back on; 0 where the config has none."""
    if config.get("use_sliding_window") is False:
        return 0
    return whole(config, "sliding_window", "attention_window_size", "attention_chunk_size")


def kinds_of(config: Config) -> tuple[list[Kind], bool]:
    """What each layer keeps, and whether the config says so: where it uses words that are not known, all attend to all."""
    count = layer_count(config)
    named = _named(config, count)
    kinds: list[Kind] = [_kind(name) for name in named]
    certain = all(name in _FULL or name in _WINDOW or name in _NONE for name in named)
    if not window_of(config):
        kinds = ["full" if kind == "window" else kind for kind in kinds]
    modes = config.get("kv_sharing_modes")
    sharing = [mode == "reuse" for mode in modes] if isinstance(modes, list) and len(modes) == count else []
    last = whole(config, "num_kv_shared_layers")
    every = whole(config, "cla_share_factor") if config.get("use_cla") else 0
    sharing = sharing or [at >= count - last or bool(every and at % every) for at in range(count)]
    return ["shared" if shared else kind for kind, shared in zip(kinds, sharing, strict=True)], certain


def state_of(config: Config) -> tuple[int, int]:
    """How many layers keep a state of fixed size, and the numbers of one; 0 of them where the config does not say.

    Gated delta nets keep keys x values a head, Mamba-2 heads x head x state, Mamba inner x state; convolutions are left out.
    """
    layers = sum(name in _STATEFUL for name in _named(config, layer_count(config)))
    values = whole(config, "linear_num_value_heads")
    if values:
        return layers, values * whole(config, "linear_key_head_dim") * whole(config, "linear_value_head_dim")
    if config.get("model_type") == "kimi_linear":
        linear = part(config, "linear_attn_config")
        return layers, whole(linear, "num_heads") * whole(linear, "head_dim") ** 2
    heads = whole(config, "mamba_n_heads", "mamba_num_heads", "n_mamba_heads")
    size = whole(config, "mamba_d_head", "mamba_head_dim", "mamba_headdim")
    states = whole(config, "mamba_d_state", "ssm_state_size", "state_size")
    inner = heads * size if heads > 1 else whole(config, "mamba_expand", "expand") * whole(config, *HIDDEN)
    return layers, inner * states


def _kind(name: str) -> Kind:
    return "window" if name in _WINDOW else "none" if name in _NONE else "full"


def _named(config: Config, count: int) -> list[str]:
    """A word for each of `count` layers: from a list, a pattern, a period, or a window that all have."""
    for key in ("layer_types", "layers_block_type"):
        listed = config.get(key)
        if isinstance(listed, list) and len(listed) == count:
            return [str(name) for name in listed]
    if isinstance(config.get("hybrid_override_pattern"), str):
        letters = list(config["hybrid_override_pattern"])[:count]
        return letters + ["full"] * (count - len(letters))
    cycle = config.get("block_types")
    if isinstance(cycle, list) and cycle:
        return ["sliding" if cycle[at % len(cycle)] == "attention" else "recurrent" for at in range(count)]
    if str(config.get("model_type")) in _RECURRENT:
        return ["recurrent"] * count
    attending = _attending(config, count)
    if attending is not None:
        return ["full" if at in attending else "recurrent" for at in range(count)]
    return _windowed(config, count)


def _attending(config: Config, count: int) -> set[int] | None:
    """The layers of attention among others that have none; None where all are alike."""
    kimi = part(config, "linear_attn_config")
    if _numbers(kimi.get("full_attn_layers")):
        return {at - 1 for at in kimi["full_attn_layers"]}  # counted from 1
    flags = config.get("attn_type_list")
    if isinstance(flags, list) and len(flags) == count:
        return {at for at, flag in enumerate(flags) if flag == 1}
    for key in ("attn_layer_indices", "full_attn_idxs"):
        if _numbers(config.get(key)):
            return set(config[key])
    period = whole(config, "attn_layer_period")
    if period:
        return {at for at in range(count) if at % period == whole(config, "attn_layer_offset")}
    every = whole(config, "full_attention_interval", "layer_group_size")
    every = every or (4 if config.get("model_type") == "qwen3_next" else 0)
    return {at for at in range(count) if (at + 1) % every == 0} if every else None


def _windowed(config: Config, count: int) -> list[str]:
    """Which layers have a window, where the config has one."""
    if not window_of(config):
        return ["full"] * count
    pattern = config.get("sliding_window_pattern", PATTERNS.get(str(config.get("model_type", ""))))
    if isinstance(pattern, str) and pattern:
        return ["full" if pattern[at % len(pattern)] == "G" else "sliding" for at in range(count)]
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern > 0:
        return ["sliding" if (at + 1) % pattern else "full" for at in range(count)]
    flags = config.get("hybrid_layer_pattern")
    if isinstance(flags, list) and len(flags) == count:
        return ["sliding" if flag == 1 else "full" for flag in flags]
    if "attention_chunk_size" in config:
        listed = config.get("no_rope_layers")
        ropes = listed if isinstance(listed, list) and len(listed) == count else [(at + 1) % 4 for at in range(count)]
        return ["sliding" if rope else "full" for rope in ropes]
    first = whole(config, "max_window_layers") if config.get("use_sliding_window") else 0
    return ["full" if at < first else "sliding" for at in range(count)]


def _numbers(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(at, int) for at in value)
