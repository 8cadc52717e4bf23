"""What a model gives, by name, and which of it says what comes next or what something is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from qtquant_app.engine.samples.takes import Takes

LOGITS = "logits"
_ACROSS_SAMPLES = "logits_per_"
"""Beginning of the names of similarities of every sample with every other: their size says nothing of the model."""


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of what both models gave for a sample: [positions, numbers] of each."""

    name: str
    base: Tensor
    own: Tensor
    answers: Tensor | None = None
    """What really comes after each position, int64, where that is known; -1 where it is not to be said."""
    is_logits: bool = False
    """Whether the numbers of a position are likelihoods of the same things, before their softmax."""

    @property
    def across(self) -> bool:
        """Whether its numbers are of several samples each."""
        return self.name.startswith(_ACROSS_SAMPLES)


class Reading:
    """How the outputs of a model are to be read. `predicts` says whether its input text is what it is to go on with."""

    def __init__(self, takes: Takes) -> None:
        from qtquant_app.engine.samples.chance import placeholders

        self.predicts = takes.decoder_only and takes.reads
        self._hidden = frozenset(placeholders(takes.config))

    def parts(self, inputs: Mapping[str, Any], base: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Part]:
        """The tensors of one batch that both gave, sample by sample; nothing of what the model remembers."""
        import torch

        given = {key: item for key, item in inputs.items() if isinstance(item, torch.Tensor)}
        for name, value in base.items():
            other = own.get(name)
            if not (isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor) and value.is_floating_point()):
                continue
            if name.startswith(_ACROSS_SAMPLES) or value.dim() < 2:
                yield Part(name, value.reshape(1, -1), other.reshape(1, -1))
                continue
            for at in range(len(value)):
                yield self._part(
                    name, {key: item[at] for key, item in given.items() if at < len(item)}, value[at], other[at]
                )

    def _part(self, name: str, inputs: Mapping[str, Tensor], base: Tensor, own: Tensor) -> Part:
        """`base` and `own` without the dimension of samples."""
        logits = name == LOGITS and base.dim() <= 2 and base.shape[-1] > 1
        if base.dim() > 2:
            base, own = base.flatten(0, -2), own.flatten(0, -2)
        base, own = (base[None], own[None]) if base.dim() == 1 else (base, own)
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if logits and self.predicts and ids is not None and len(ids) == len(base):
            answers = ids[1:].clone()
            for hidden in self._hidden:
                answers[answers == hidden] = -1
            if mask is not None and len(mask) == len(ids):
                answers[mask[1:] == 0] = -1
            return Part(name, base[:-1], own[:-1], answers, is_logits=True)
        if mask is not None and mask.dim() == 1 and len(mask) == len(base) and not mask.all():
            base, own = base[mask.bool()], own[mask.bool()]
        return Part(name, base, own, is_logits=logits)
