"""Qwen3-MoE: every block chooses among experts of a width of their own."""

from __future__ import annotations

from qtquant_app.formats.gguf.architectures.base import LLAMA_BLOCK, QK_NORMS, Architecture, Metadata
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.qwen2 import slides
from qtquant_app.formats.gguf.architectures.rope import Rope
from qtquant_app.formats.gguf.values import u32

_ATTENTION = {module: name for module, name in LLAMA_BLOCK.items() if not module.startswith("mlp.")}


def _width(config: Config, rope: Rope) -> Metadata:
    return {"qwen3moe.expert_feed_forward_length": u32(config.positive("moe_intermediate_size"))}


def _refuses(config: Config) -> str:
    if config.raw("mlp_only_layers", []) or config.count_or("decoder_sparse_step", 1) != 1:
        return "expects experts in every block, and config.json has blocks without"
    if config.raw("norm_topk_prob", True) is False:
        return "makes the chosen experts' weights sum to 1, and config.json says not to"
    return slides(config)


QWEN3_MOE = Architecture(
    name="qwen3moe",
    title="Qwen3-MoE",
    classes=("Qwen3MoeForCausalLM",),
    block={**_ATTENTION, **QK_NORMS, "mlp.gate": "ffn_gate_inp"},
    experts={
        "mlp.experts.gate_proj": "ffn_gate_exps",
        "mlp.experts.down_proj": "ffn_down_exps",
        "mlp.experts.up_proj": "ffn_up_exps",
    },
    more=_width,
    refuses=_refuses,
)
