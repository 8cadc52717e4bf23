"""Which tensors of a checkpoint fill which parameter of a model, by transformers' own rules of renaming and conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.formats.reader_names import Namer, in_loading_order

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel
    from transformers.core_model_loading import WeightConverter

Read = Callable[[str], "Tensor"]
"""Gives a tensor of the checkpoint by its name."""


@dataclass
class Fill:
    """The tensors that one parameter, or several made at once, come from."""

    key: str
    """The first parameter that is filled."""
    converter: WeightConverter | None
    sources: list[tuple[str, str]] = field(default_factory=list)
    """The names of the checkpoint's tensors, and the pattern of the converter that took each."""

    @property
    def plain(self) -> str | None:
        """The tensor that the parameter is, as it is; None where it is made of tensors."""
        return self.sources[0][0] if self.converter is None else None

    def names(self) -> list[str]:
        """The checkpoint's tensors that it takes."""
        return [name for name, _ in self.sources]

    def made(self, read: Read, model: PreTrainedModel) -> dict[str, Tensor]:
        """The parameters by name."""
        if self.converter is None:
            return {self.key: read(self.sources[0][0])}
        converter: Any = deepcopy(self.converter)
        for name, pattern in self.sources:
            converter.add_tensor(self.key, name, pattern, _later(read, name))
        found = converter.convert(self.key, model=model, config=model.config)
        return {key: value[0] if isinstance(value, list) else value for key, value in found.items()}


def _later(read: Read, name: str) -> Callable[[], Tensor]:
    return lambda: read(name)


class Fills:
    """By the names of a model's parameters and buffers, how to fill each from the checkpoint's tensors."""

    def __init__(self, model: PreTrainedModel, checkpoint: Checkpoint) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter

        from qtquant_app.engine.runtime.stacked import with_stacks

        transforms = with_stacks(get_model_conversion_mapping(model), checkpoint.stacks, model)
        self._namer = Namer(model, transforms)
        self._converters = {
            pattern: item
            for item in transforms
            if isinstance(item, WeightConverter)
            for pattern in item.source_patterns
        }
        self._tied: Mapping[str, str] = dict(getattr(model, "all_tied_weights_keys", None) or {})
        self._fills: dict[str, Fill] = {}
        self._tensors = {tensor.name: tensor.tied_to or tensor.name for tensor in checkpoint.tensors}
        self._gather(in_loading_order(self._tensors))

    def _gather(self, names: Iterable[str]) -> None:
        for name in names:
            target, pattern = self._namer.target(name)
            if not self._namer.knows(target):
                continue
            converter = None if pattern is None else self._converters[pattern]
            fill = self._fills.setdefault(target, Fill(target, converter))
            fill.sources.append((self._tensors[name], pattern or ""))
            for other in self._namer.targets(name):
                self._fills.setdefault(other, fill)

    def of(self, key: str) -> Fill | None:
        """What fills the parameter or buffer `key`; None where the checkpoint has nothing for it."""
        if key not in self._fills and key in self._tied:
            return self._fills.get(self._tied[key])
        return self._fills.get(key)

    def source_key(self, key: str) -> str:
        """The parameter that `key` is tied to, where it is filled through that; else `key`."""
        return key if key in self._fills else self._tied.get(key, key)
