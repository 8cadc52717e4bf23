"""Dequantizes weights while transformers loads them, where the model has no linear layer that could stay packed.

transformers 5 merges the experts of Mixtral, Qwen3-MoE and their kin into three-dimensional parameters, and splits or
turns fused projections of others. Such weights are dequantized first and then go through transformers' own operations,
as if the checkpoint were in float: they are packed on disk only, and W8A8 ones compute with float activations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightRenaming, WeightTransform

from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.runtime.contents import CODES, COMPANIONS, SCALE, ZERO
from qtquant_app.engine.runtime.decode import dequantize
from qtquant_app.engine.runtime.placement import PLAIN, Placement, Sources
from qtquant_app.engine.runtime.stacked import columns_of
from qtquant_app.formats.reader_names import Namer

_NAMES = (*COMPANIONS, "weight")
"""The longer names first: up to 5.20, transformers takes the first pattern that a name begins with."""


class Dequantize(ConversionOps):  # type: ignore[misc]
    """Collects packed and float tensors of one model tensor, dequantizes them in order, and runs `original`'s operations.

    `hf_quantizer` is what tells transformers not to cast what this operation is given.
    """

    supports_many_to_many = True

    def __init__(
        self,
        quantizer: Any,
        schemes: Mapping[str, Scheme],
        targets: Mapping[str, Sources],
        patterns: Mapping[tuple[str, str], str],
        original: WeightConverter | None,
    ) -> None:
        self.hf_quantizer = quantizer
        self.original = original
        self._schemes, self._targets, self._patterns = schemes, targets, patterns
        self._stacked_columns = columns_of(original)

    def __deepcopy__(self, memo: dict[int, Any]) -> Dequantize:
        # transformers copies a converter for every tensor it makes; this one keeps nothing between calls.
        return self

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        *,
        model: Any,
        full_layer_name: str,
        **context: Any,
    ) -> dict[str, Any]:
        target = model.get_parameter_or_buffer(full_layer_name)
        dtype = self.hf_quantizer.dtype_of(full_layer_name, target)
        columns = self._stacked_columns or target.shape[-1]
        waiting = {pattern: iter(tensors) for pattern, tensors in input_dict.items()}
        dense = {
            pattern: [self._dense(pattern, name, waiting, columns, dtype) for name in names]
            for pattern, names in self._targets[full_layer_name].items()
        }
        if self.original is None:
            return {full_layer_name: dense[PLAIN][0]}
        for operation in deepcopy(self.original.operations):
            dense = operation.convert(
                dense,
                source_patterns=self.original.source_patterns,
                target_patterns=self.original.target_patterns,
                model=model,
                full_layer_name=full_layer_name,
                **context,
            )
        return dense

    def _dense(
        self, pattern: str, name: str, waiting: Mapping[str, Any], target_columns: int, dtype: torch.dtype
    ) -> torch.Tensor:
        """The weight called `name` in the checkpoint. Tensors of one pattern arrive in the order of their names."""
        scheme = self._schemes.get(name.removesuffix(".weight"))
        if scheme is None:
            kept: torch.Tensor = next(waiting[self._patterns[pattern, "weight"]])
            return kept.to(dtype)
        packed = next(waiting[self._patterns[pattern, CODES]])
        scale = next(waiting[self._patterns[pattern, SCALE]])
        zero = None if scheme.symmetric else next(waiting[self._patterns[pattern, ZERO]])
        return dequantize(packed, scale, zero, scheme, _columns(packed, scheme, target_columns), dtype)


def _columns(packed: torch.Tensor, scheme: Scheme, expected: int) -> int:
    """Columns of packed rows. Only where the last byte is not full do the bytes not say; then the model's tensor does."""
    held = packed.shape[1]
    return expected if -(-expected * scheme.bits // 8) == held else held * 8 // scheme.bits


def dense_transforms(
    transforms: Sequence[WeightTransform],
    placement: Placement,
    schemes: Mapping[str, Scheme],
    quantizer: Any,
    namer: Namer,
) -> list[WeightTransform]:
    """`transforms`, with each converter that meets a quantized weight made to dequantize first."""
    met = placement.converter_patterns()
    result: list[WeightTransform] = []
    for transform in transforms:
        if isinstance(transform, WeightConverter) and met.intersection(transform.source_patterns):
            result += _extended(transform, placement, schemes, quantizer)
        else:
            result.append(transform)
    return result + _renamed_only(placement, schemes, quantizer, namer)


def _extended(
    original: WeightConverter, placement: Placement, schemes: Mapping[str, Scheme], quantizer: Any
) -> list[WeightTransform]:
    """A converter that takes each source in packed or float form, and the original where it takes more than weights."""
    sources, patterns = [], {}
    for source in original.source_patterns:
        for name in _NAMES:
            patterns[source, name] = _with_leaf(source, name)
            sources.append(patterns[source, name])
    whole = all(source.endswith("weight") for source in original.source_patterns)
    targets = list(original.target_patterns) if whole else [_plain_leaf(t) for t in original.target_patterns]
    operation = Dequantize(quantizer, schemes, placement.dense, patterns, original)
    converter = WeightConverter(sources, targets, operations=[operation])
    for name in ("scope_prefix", "base_model_prefix", "force_cpu"):
        if hasattr(original, name):
            setattr(converter, name, getattr(original, name))
    return [converter] if whole else [converter, original]


def _with_leaf(source: str, name: str) -> str:
    """The pattern `source` for a module's tensor `name` alone: of its weight, if it names that, else of all it has."""
    if source.endswith("weight"):
        return source.removesuffix("weight") + name
    return f"{source}{name}" if source.endswith(".") else rf"{source}\.{name}"


def _plain_leaf(target: str) -> str:
    return f"{target}weight" if target.endswith(".") else f"{target}.weight"


def _renamed_only(
    placement: Placement, schemes: Mapping[str, Scheme], quantizer: Any, namer: Namer
) -> list[WeightTransform]:
    modules = [name.removesuffix(".weight") for name in placement.plain().values()]
    if not modules:
        return []
    known = sorted({namer.renamed(f"{module}.{CODES}").removesuffix(f".{CODES}") for module in modules})
    either = "|".join(map(re.escape, known))
    patterns = {(PLAIN, name): rf"^({either})\.{name}" for name in COMPANIONS}
    operation = Dequantize(quantizer, schemes, placement.dense, patterns, None)
    return [WeightConverter(list(patterns.values()), r"\1.weight", operations=[operation])]


def forced_renamings(placement: Placement, schemes: Mapping[str, Scheme], namer: Namer) -> list[WeightTransform]:
    """Renamings for packed tensors that transformers' own, written for a leaf called `weight`, pass by.

    `namer` knows the model with its packed layers in place.
    """
    forced: list[WeightTransform] = []
    for module, source in placement.packed.items():
        for name in COMPANIONS[:2] if schemes[source].symmetric else COMPANIONS:
            if namer.target(f"{source}.{name}")[0] != f"{module}.{name}":
                pattern = f"^{re.escape(namer.renamed(f'{source}.{name}'))}$"
                forced.append(WeightRenaming(pattern, f"{module}.{name}"))
    return forced
