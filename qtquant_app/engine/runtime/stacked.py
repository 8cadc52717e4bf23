"""Puts the experts that a run told apart back into their stack while transformers loads them, as the stack lay in the original
checkpoint; transformers' own operations on that stack then follow."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import takewhile
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightTransform

from qtquant_app.core.stacks import Stack
from qtquant_app.formats.reader_names import Namer


class Restack(ConversionOps):  # type: ignore[misc]
    """The matrices of every expert, lists of [rows, columns] by source pattern, as one tensor [experts, ..., ...]."""

    def __init__(self, stack: Stack) -> None:
        self._transposed, self._interleaved = stack.transposed, stack.interleaved
        self.columns = stack.shape[1]

    def convert(
        self, input_dict: dict[str, Any], source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, torch.Tensor]:
        parts = [torch.stack(input_dict.pop(pattern)) for pattern in source_patterns]
        experts, rows, columns = parts[0].shape
        joined = torch.stack(parts, dim=2 if self._interleaved else 1).reshape(experts, len(parts) * rows, columns)
        return {target_patterns[0]: joined.transpose(1, 2).contiguous() if self._transposed else joined}


def with_stacks(
    transforms: Sequence[WeightTransform], stacks: Sequence[Stack], model: PreTrainedModel
) -> list[WeightTransform]:
    """`transforms`, with a converter for the matrices of each kind of stack that they do not take as they are."""
    if not stacks:
        return list(transforms)
    namer = Namer(model, deepcopy(list(transforms)))  # some transforms remember what they have seen
    added: dict[tuple[str, ...], WeightConverter] = {}
    for stack in stacks:
        if not namer.knows(namer.target(stack.name(0, 0))[0]):
            converter = _converter(stack, namer, transforms)
            added.setdefault((*converter.source_patterns, *converter.target_patterns), converter)
    return [*added.values(), *transforms]


def _converter(stack: Stack, namer: Namer, transforms: Sequence[WeightTransform]) -> WeightConverter:
    target, pattern = namer.without_prefix(stack.tensor.name)
    example = namer.renamed(stack.name(0, 0))
    both = zip(target.split("."), example.split("."), strict=False)
    shared = ".".join(own for own, _ in takewhile(lambda pair: pair[0] == pair[1], both))
    head = "." + shared.rpartition(".")[2]
    sources = [f"{head}.*.{leaf}.weight" for leaf in stack.leaves]
    operations: list[ConversionOps] = [Restack(stack)]
    for transform in transforms:
        if isinstance(transform, WeightConverter) and pattern in transform.source_patterns:
            operations += transform.operations
            break
    return WeightConverter(sources, head + target.removeprefix(shared), operations=operations)


def is_restacking(transform: WeightTransform) -> bool:
    """Whether a converter is one of `with_stacks`."""
    return isinstance(transform, WeightConverter) and isinstance(transform.operations[0], Restack)


def columns_of(converter: WeightConverter | None) -> int | None:
    """Columns of the matrices that a converter of `with_stacks` takes; None of any other."""
    return converter.operations[0].columns if converter is not None and is_restacking(converter) else None
