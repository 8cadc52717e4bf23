"""Says what each tensor is to the model.

Three witnesses, the cheapest first. Names: most checkpoints use only leaf names that mean the same in every architecture, and then
torch is not even imported. The meta-device model of transformers, where a name is ambiguous and the architecture is known.
Shapes, where it is not: a checkpoint of an unknown architecture still gets an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.described import modest, own_words

_LINEAR_LEAVES = frozenset(
    """
    q_proj k_proj v_proj o_proj out_proj qkv_proj gate_proj up_proj down_proj gate_up_proj
    q_a_proj q_b_proj kv_a_proj kv_b_proj kv_a_proj_with_mqa wq wk wv wo
    in_proj x_proj dt_proj in_proj_qkvz in_proj_ba in_proj_qkv in_proj_z in_proj_b in_proj_a
    fc1 fc2 query key value dense dense_h_to_4h dense_4h_to_h query_key_value
    visual_projection text_projection
    """.split()
)
"""Module names that are linear layers wherever they occur."""

_HEAD_LEAVES = frozenset(
    """
    lm_head proj_out embed_out classifier score qa_outputs output_projection logit_head cls_head decoder
    """.split()
)
_ROUTER_LEAVES = frozenset({"gate", "router", "shared_expert_gate", "gate_weight"})
_EMBEDDING_LEAVES = frozenset({"wte", "wpe", "shared", "tok_embeddings", "relative_attention_bias"})
_EMBEDDING = re.compile(r"^embed(_|$)|embeddings?$|_embed$")
_NORM = re.compile(r"norm|(^|[._])ln(_|\d|$|\.)", re.IGNORECASE)
_EXPERT = re.compile(r"(^|\.)experts(\.|$)")
_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_LEAST_SIDE = 16
"""No matrix of a layer is as narrow."""
_EXPERT_LEAVES = _LINEAR_LEAVES | {"w1", "w2", "w3"}


def classify(tensors: Iterable[TensorInfo], config: Mapping[str, Any]) -> tuple[TensorInfo, ...]:
    """The same tensors, each with its kind."""
    listed = list(tensors)
    experts = _expert_count(config)
    kinds = [Kind.EXPERT if len(t.shape) == 3 and _is_stack(t, experts) else by_name(t) for t in listed]
    if None in kinds:
        classes = module_classes(config) if modest(config, len(listed)) else {}
        kinds = [kind or by_module(t, classes) or by_shape(t, config) for t, kind in zip(listed, kinds, strict=True)]
    return tuple(_of_kind(tensor, kind or Kind.OTHER) for tensor, kind in zip(listed, kinds, strict=True))


def _expert_count(config: Mapping[str, Any]) -> int:
    """How many experts a block has, as config.json says; 0 where it has none."""
    text = config.get("text_config")
    described = [part for part in (text, config) if isinstance(part, Mapping)]
    counts = (part.get(key) for part in described for key in _EXPERT_COUNTS)
    return next((count for count in counts if type(count) is int and count > 1), 0)


def _is_stack(tensor: TensorInfo, experts: int) -> bool:
    """Whether a tensor that no name tells holds one matrix for each expert: no convolution's kernel is as wide."""
    shape = tensor.shape
    return shape[0] == experts and min(shape) > 1 and min(shape[1:]) >= _LEAST_SIDE


def _of_kind(tensor: TensorInfo, kind: Kind) -> TensorInfo:
    """`dataclasses.replace` takes three times as long, which tells at 60,000 tensors."""
    t = tensor
    if t.kind is kind:
        return t
    return TensorInfo(t.name, t.dtype, t.shape, t.file, t.offset, t.nbytes, kind, t.tied_to, t.packed, t.part)


def by_name(tensor: TensorInfo) -> Kind | None:
    """The kind where name and rank alone leave no doubt, else None."""
    if len(tensor.shape) < 2:
        return _vector(tensor)
    leaf = tensor.module.rpartition(".")[2]
    if "experts" in tensor.name and _EXPERT.search(tensor.name):
        if tensor.name.endswith("bias"):
            return Kind.BIAS
        known = len(tensor.shape) == 3 or leaf in _EXPERT_LEAVES
        return Kind.EXPERT if known else None
    if len(tensor.shape) > 2:
        return Kind.CONV if tensor.name.endswith(".weight") else Kind.OTHER
    return _matrix(tensor, leaf)


def _vector(tensor: TensorInfo) -> Kind:
    if tensor.name.endswith("bias"):
        return Kind.BIAS
    return Kind.NORM if _NORM.search(tensor.module) else Kind.OTHER


def _matrix(tensor: TensorInfo, leaf: str) -> Kind | None:
    if not tensor.name.endswith(".weight"):
        return Kind.EMBEDDING if _EMBEDDING.search(tensor.name.rpartition(".")[2]) else Kind.OTHER
    if leaf in _LINEAR_LEAVES:
        return Kind.LINEAR
    if leaf in _EMBEDDING_LEAVES or _EMBEDDING.search(leaf):
        return Kind.EMBEDDING
    if leaf in _ROUTER_LEAVES:
        return Kind.OTHER
    if leaf in _HEAD_LEAVES or tensor.name == "output.weight":
        return Kind.HEAD
    return None


def module_classes(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Class name of every module of the model that `config` describes, built on the meta device; empty where unknown.

    transformers' own classes only: no code from the checkpoint is run.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str):
        return {}
    import torch
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        return {}
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    model_class = found if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) else None
    try:
        built = CONFIG_MAPPING[kind].from_dict(own_words(config))
        with torch.device("meta"):
            auto = transformers.AutoModel
            model = model_class(built) if model_class else auto.from_config(built, trust_remote_code=False)
    except Exception:
        # A config may describe a model that transformers cannot build; names and shapes then have to do.
        return {}
    return {path: _class_name(module) for path, module in model.named_modules()}


def _class_name(module: Any) -> str:
    import torch

    if isinstance(module, torch.nn.Linear):
        return "Linear"
    return "Embedding" if isinstance(module, torch.nn.Embedding) else type(module).__name__


def by_module(tensor: TensorInfo, classes: Mapping[str, str]) -> Kind | None:
    """The kind that the model's module says: by its path, else by what all modules of the same last name are."""
    if not classes or not tensor.name.endswith(".weight") or len(tensor.shape) != 2:
        return None
    leaf = tensor.module.rpartition(".")[2]
    same_leaf = {name for path, name in classes.items() if path.rpartition(".")[2] == leaf}
    found = classes.get(tensor.module) or (same_leaf.pop() if len(same_leaf) == 1 else None)
    if found is None:
        return None
    if found == "Linear":
        return Kind.EXPERT if _EXPERT.search(tensor.name) else Kind.LINEAR
    return Kind.EMBEDDING if found == "Embedding" else Kind.OTHER


def by_shape(tensor: TensorInfo, config: Mapping[str, Any]) -> Kind:
    """The kind of a matrix that no witness knows: as many rows as the vocabulary has words is no layer of the network."""
    if len(tensor.shape) != 2:
        return Kind.OTHER
    rows, columns = tensor.shape
    if _EXPERT.search(tensor.name) and (tensor.name.endswith(".weight") or min(rows, columns) >= _LEAST_SIDE):
        return Kind.EXPERT
    if not tensor.name.endswith(".weight"):
        return Kind.OTHER
    if rows == config.get("vocab_size") or min(rows, columns) < _LEAST_SIDE:
        return Kind.OTHER
    return Kind.LINEAR
