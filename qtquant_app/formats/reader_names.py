"""What transformers calls the modules of a checkpoint.

transformers 5 renames tensors while it loads them; a config that names modules as the checkpoint does then names nothing. Its own
rules are asked here, on a model built on the meta device. No weight is read, and no code of the checkpoint is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qtquant_app.core.described import modest, own_words

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.core_model_loading import WeightTransform


@dataclass(frozen=True)
class ReaderNames:
    """`linear`: for a module of the checkpoint, the linear layers of the model that its weight fills, where they are called
    otherwise. `unfilled`: linear layers that no weight of the checkpoint fills, such as a head tied to the embedding.
    `converted`: modules whose weight is taken apart, or put together with others, on the way."""

    linear: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unfilled: tuple[str, ...] = ()
    converted: frozenset[str] = frozenset()


class Namer:
    """transformers' own renaming for one model and one list of transforms, in the order in which it loads."""

    def __init__(self, model: PreTrainedModel, transforms: Sequence[WeightTransform]) -> None:
        from transformers.core_model_loading import WeightConverter, WeightRenaming

        self._renamings = [item for item in transforms if isinstance(item, WeightRenaming)]
        self._converters = [item for item in transforms if isinstance(item, WeightConverter)]
        self._prefix = model.base_model_prefix
        self._targets = model.state_dict()

    def target(self, name: str) -> tuple[str, str | None]:
        """The model's name for the checkpoint's tensor `name`, and the converter's pattern where one takes it."""
        from transformers.core_model_loading import rename_source_key

        target, pattern = rename_source_key(name, self._renamings, self._converters, self._prefix, self._targets)
        if target not in self._targets and name in self._targets:
            target, pattern = rename_source_key(name, [], [], self._prefix, self._targets)
        return target, pattern

    def targets(self, name: str) -> list[str]:
        """Every tensor of the model that the checkpoint's tensor `name` fills, if only in part."""
        target, pattern = self.target(name)
        for converter in self._converters:
            if pattern in converter.source_patterns:
                first, *others = converter.target_patterns
                return [target, *(target.replace(first, other) for other in others)]
        return [target]

    def without_prefix(self, name: str) -> tuple[str, str | None]:
        """As `target`, before the prefix of the base model is put on or taken off."""
        from transformers.core_model_loading import apply_converters

        target, pattern = apply_converters(self.renamed(name), self._converters)
        return str(target), pattern

    def knows(self, target: str) -> bool:
        return target in self._targets

    def renamed(self, name: str) -> str:
        """`name` after the renamings alone: what converters are matched against."""
        from transformers.core_model_loading import apply_renamings

        return str(apply_renamings(name, self._renamings))


def in_loading_order(names: Iterable[str]) -> list[str]:
    """Tensor names as transformers sorts them; some of its renamings depend on it."""
    from transformers.core_model_loading import dot_natural_key

    return sorted(names, key=dot_natural_key)


def reader_names(config: Mapping[str, Any], tensors: Iterable[str]) -> ReaderNames:
    """How transformers names the modules of a checkpoint with these `tensors`; nothing where it does not know the model."""
    return _reader_names(json.dumps(dict(config), sort_keys=True, default=str), tuple(tensors))


@lru_cache(maxsize=4)
def _reader_names(config: str, tensors: tuple[str, ...]) -> ReaderNames:
    described = json.loads(config)
    model = skeleton(described) if modest(described, len(tensors)) else None
    if model is None:
        return ReaderNames()
    from transformers.conversion_mapping import get_model_conversion_mapping

    namer, layers = Namer(model, get_model_conversion_mapping(model)), _linear_modules(model)
    weights = [name for name in in_loading_order(tensors) if name.endswith(".weight")]
    fills = {_module(name): tuple(map(_module, namer.targets(name))) for name in weights}
    return ReaderNames(
        linear={module: own for module, names in fills.items() if (own := _others(module, names, layers))},
        unfilled=tuple(sorted(layers.difference(*fills.values()))),
        converted=frozenset(_module(name) for name in weights if namer.target(name)[1] is not None),
    )


def _others(module: str, names: tuple[str, ...], layers: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name != module and name in layers)


def skeleton(config: Mapping[str, Any]) -> PreTrainedModel | None:
    """The model that `config` describes, on the meta device, of a class of transformers' own; None where it knows none."""
    import torch
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind, names = config.get("model_type"), config.get("architectures")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None
    name = names[0] if isinstance(names, list) and names else None
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    model_class = found if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) else None
    try:
        described = CONFIG_MAPPING[kind].from_dict(own_words(config))
        with torch.device("meta"):
            built: PreTrainedModel = (
                model_class(described)
                if model_class
                else transformers.AutoModel.from_config(described, trust_remote_code=False)
            )
    except Exception:
        # A config may describe a model that transformers cannot build; the checkpoint's own names then have to do.
        return None
    return built


def _linear_modules(model: PreTrainedModel) -> set[str]:
    from torch import nn

    return {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0]
