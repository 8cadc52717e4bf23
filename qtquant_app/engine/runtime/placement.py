"""Where each quantized weight of a checkpoint belongs in the model that transformers builds for it.

config.json names modules as the checkpoint does. transformers renames tensors while it loads them, puts prefixes on or
takes them off, and merges or splits some; its own rules are asked here, name by name, as if the checkpoint were in float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel
from transformers.core_model_loading import WeightTransform

from qtquant_app.engine.runtime.contents import Contents
from qtquant_app.formats.reader_names import Namer, in_loading_order

PLAIN = ""
"""Stands for the source pattern where a weight is renamed at most."""

Sources = dict[str, list[str]]
"""Checkpoint tensors, by their float names and in loading order, under each source pattern of a converter."""


@dataclass
class Placement:
    """`packed`: model module to checkpoint module, for linear layers that keep their weight packed.

    `dense`: model tensor to what it is made of, for weights that must be in float once loaded: experts that transformers
    merges, fused projections that it splits, and weights of anything that is no plain linear layer.
    """

    packed: dict[str, str] = field(default_factory=dict)
    dense: dict[str, Sources] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    """The model tensors that the checkpoint fills."""

    def converter_patterns(self) -> set[str]:
        """Source patterns of the converters that meet a quantized weight."""
        return {pattern for sources in self.dense.values() for pattern in sources if pattern != PLAIN}

    def plain(self) -> dict[str, str]:
        """Model tensor to checkpoint tensor, for dense weights that are renamed at most."""
        return {target: sources[PLAIN][0] for target, sources in self.dense.items() if PLAIN in sources}


def place(model: PreTrainedModel, contents: Contents, transforms: Sequence[WeightTransform]) -> Placement:
    """Where the quantized weights of `contents` go in `model`, a float skeleton that `transforms` load. Those it has no use for are
    left out."""
    quantized = {f"{module}.weight": module for module in contents.schemes}
    namer = Namer(model, transforms)
    placement = Placement()
    sources: dict[str, Sources] = {}
    for name in in_loading_order(contents.float_names()):
        target, pattern = namer.target(name)
        if not namer.knows(target):
            continue
        placement.present.add(target)
        if name in quantized and pattern is None and is_plain_linear(model, target):
            placement.packed[target.rpartition(".")[0]] = quantized[name]
        else:
            sources.setdefault(target, {}).setdefault(pattern or PLAIN, []).append(name)
    placement.dense = {target: parts for target, parts in sources.items() if _any_in(parts, quantized)}
    return placement


def is_plain_linear(model: PreTrainedModel, target: str) -> bool:
    """Whether `target` is the weight of an nn.Linear. Subclasses have a forward of their own, or callers that reach past it."""
    module, _, leaf = target.rpartition(".")
    return leaf == "weight" and type(model.get_submodule(module)) is nn.Linear


def _any_in(parts: Sources, quantized: dict[str, str]) -> bool:
    return any(name in quantized for names in parts.values() for name in names)
