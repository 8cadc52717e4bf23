"""What GPTQ's readers are told: one scheme for all layers, and patterns for those that differ from it or stay in float.

gptqmodel and vLLM match the patterns of `dynamic` from the start of a module's name on. vLLM knows layers that it fuses by the
fused name alone, so that a pattern for all parts of one is given that name too. optimum, and so transformers, reads no `dynamic`;
what it can be told is which layers of a block are quantized, where all blocks are alike.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme

_FUSED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}
"""What vLLM calls layers that it fuses, and their parts."""

_LINEAR = frozenset({Kind.LINEAR, Kind.EXPERT, Kind.OTHER})


def quantization_config(tensors: Sequence[TensorPlan]) -> dict[str, Any]:
    """The `quantization_config` of config.json, as gptqmodel 7.7 writes it."""
    quantized = [tensor for tensor in tensors if tensor.scheme is not None]
    usual = _usual(quantized)
    symmetric = all(tensor.scheme.symmetric for tensor in quantized if tensor.scheme is not None)
    return {
        "quant_method": "gptq",
        "bits": usual.bits,
        "group_size": usual.group_size or -1,
        "desc_act": False,
        "sym": symmetric,
        "lm_head": any(tensor.kind == Kind.HEAD for tensor in quantized),
        "true_sequential": True,
        "damp_percent": 0.05,
        "checkpoint_format": "gptq" if symmetric else "gptq_v2",
        "pack_dtype": "int32",
        "dynamic": _dynamic(tensors, usual) or None,
        "modules_in_block_to_quantize": None,
        "meta": {"quantizer": ["qtquant"]},
    }


def quantize_config_text(tensors: Sequence[TensorPlan]) -> str:
    """quantize_config.json: the same for readers that look beside config.json."""
    return json.dumps(quantization_config(tensors), indent=2) + "\n"


def _usual(quantized: Sequence[TensorPlan]) -> Scheme:
    """The scheme of most layers."""
    objects = {id(tensor.scheme): tensor.scheme for tensor in quantized}
    counts: Counter[Scheme] = Counter()
    for key, count in Counter(id(tensor.scheme) for tensor in quantized).items():
        scheme = objects[key]
        assert scheme is not None
        counts[scheme] += count
    return counts.most_common(1)[0][0] if counts else Scheme()


def _dynamic(tensors: Sequence[TensorPlan], usual: Scheme) -> dict[str, dict[str, Any]]:
    """Patterns of the layers that are not as usual: what they have instead, nothing where they stay in float."""
    kept: list[str] = []
    others: dict[tuple[int, int], list[str]] = {}
    for tensor in tensors:
        scheme = tensor.scheme
        if scheme is None:
            if tensor.kind in _LINEAR and len(tensor.shape) == 2 and tensor.name.endswith(".weight"):
                kept.append(tensor.module)
        elif (scheme.bits, scheme.group_size) != (usual.bits, usual.group_size):
            others.setdefault((scheme.bits, scheme.group_size or -1), []).append(tensor.module)
    rules: dict[str, dict[str, Any]] = {}
    for module in _with_fused(kept):
        rules[f"-:{_exactly(module)}"] = {}
    for (bits, size), modules in others.items():
        for module in _with_fused(modules):
            rules[f"+:{_exactly(module)}"] = {"bits": bits, "group_size": size}
    return rules


def _exactly(module: str) -> str:
    """A pattern for that module and no other."""
    return f"^{re.escape(module)}$"


def _with_fused(modules: Iterable[str]) -> list[str]:
    """The modules, and the fused names of those whose parts are all among them."""
    found = dict.fromkeys(modules)
    parts: dict[str, set[str]] = {}
    for module in list(found):
        owner, _, leaf = module.rpartition(".")
        parts.setdefault(owner, set()).add(leaf)
    for owner, leaves in parts.items():
        found |= dict.fromkeys(f"{owner}.{name}" for name, needed in _FUSED.items() if leaves.issuperset(needed))
    return list(found)
