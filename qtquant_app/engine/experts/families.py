"""How each family of models stores the experts of a block where it stacks them.

Sources: the classes of experts in transformers 5.23 (models/*/modeling_*.py: the shapes of their parameters, and what
`use_experts_implementation` is told of them) and its conversion_mapping.py for what the files hold. The names that the matrices get
are those of checkpoints that store each on its own, which llm-compressor 0.14 writes for these families and vLLM reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Family:
    """Names and layout of a block's two stacks: gate and up in one, down in the other."""

    gate_up: str = "experts.gate_up_proj"
    down: str = "experts.down_proj"
    experts: str = "experts"
    """What the matrices' names have in place of either."""
    leaves: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    transposed: bool = False
    """[experts, inputs, outputs], where shapes alone do not say."""
    interleaved: bool = False
    """Gate and up take turns: even output channels are the gate's."""
    packed: bool = False
    """Files may hold either as MXFP4, as `_blocks` and `_scales`."""
    by_expert: bool = False
    """Whether transformers also loads checkpoints of the family that store each matrix on its own."""


_BY_EXPERT = """
    afmoe axk1 cohere2_moe deepseek_v2 deepseek_v3 deepseek_v32 dots1 ernie4_5_moe exaone_moe flex_olmo glm4_moe glm4_moe_lite
    glm4v_moe glm_moe_dsa hunyuan_v1_moe jamba longcat_flash mellum mimo_v2_flash olmoe qwen2_moe qwen3_5_moe qwen3_5_moe_text
    qwen3_moe qwen3_next qwen3_omni_moe solar_open
""".split()
_AS_MIXTRAL = "lfm2_moe minimax minimax_m2 mixtral phimoe".split()

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(_BY_EXPERT, Family(by_expert=True)),
    **dict.fromkeys(_AS_MIXTRAL, Family(leaves=("w1", "w3", "w2"), by_expert=True)),
    **dict.fromkeys(("gemma4", "gemma4_text", "mistral4"), Family()),
    **dict.fromkeys(("qwen3_vl_moe", "qwen3_vl_moe_text"), Family(transposed=True)),
    **dict.fromkeys(("llama4", "llama4_text"), Family(transposed=True, by_expert=True)),
    **dict.fromkeys(
        ("granitemoe", "granitemoeshared", "granitemoehybrid"),
        Family("input_linear.weight", "output_linear.weight", leaves=("w1", "w3", "w2")),
    ),
    "gpt_oss": Family(transposed=True, interleaved=True, packed=True),
    **dict.fromkeys(("aria", "aria_text"), Family("experts.fc1.weight", "experts.fc2.weight", transposed=True)),
}
"""By `model_type` in config.json, or that of its `text_config`."""


def family_of(config: Mapping[str, Any]) -> tuple[Family, int] | None:
    """The family of the model that `config` describes, and its hidden size; None where either is not known."""
    text = config.get("text_config")
    described = [part for part in (text, config) if isinstance(part, Mapping)]
    kinds = [kind for part in described if isinstance(kind := part.get("model_type"), str) and kind in FAMILIES]
    sizes = [size for part in described if type(size := part.get("hidden_size")) is int and size > 0]
    return (FAMILIES[kinds[0]], sizes[0]) if kinds and sizes else None
