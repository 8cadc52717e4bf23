"""Mixtral: a Llama whose blocks choose among experts. llama.cpp knows it as a Llama with an expert count."""

from __future__ import annotations

from qtquant_app.formats.gguf.architectures.base import LLAMA_BLOCK, Architecture
from qtquant_app.formats.gguf.architectures.llama import frequencies, sizes

_ATTENTION = {module: name for module, name in LLAMA_BLOCK.items() if not module.startswith("mlp.")}

MIXTRAL = Architecture(
    name="llama",
    title="Mixtral",
    classes=("MixtralForCausalLM",),
    block={**_ATTENTION, "block_sparse_moe.gate": "ffn_gate_inp", "mlp.gate": "ffn_gate_inp"},
    experts={
        "block_sparse_moe.experts.w1": "ffn_gate_exps",
        "block_sparse_moe.experts.w2": "ffn_down_exps",
        "block_sparse_moe.experts.w3": "ffn_up_exps",
    },
    permuted=True,
    more=sizes,
    factors=frequencies,
)
