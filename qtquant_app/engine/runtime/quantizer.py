"""The plain format for transformers: after `register`, every `from_pretrained` reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightTransform, revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING

from qtquant_app.core.errors import SourceError, UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.runtime.config import METHOD, QtQuantConfig
from qtquant_app.engine.runtime.contents import CODES, COMPANIONS, Contents, read_contents
from qtquant_app.engine.runtime.dense import Dequantize, dense_transforms, forced_renamings
from qtquant_app.engine.runtime.linear import QuantizedLinear
from qtquant_app.engine.runtime.placement import Placement, place
from qtquant_app.engine.runtime.stacked import is_restacking, with_stacks
from qtquant_app.engine.runtime.ties import settle_ties, tie_companions
from qtquant_app.formats.reader_names import Namer


class QtQuantHfQuantizer(HfQuantizer):  # type: ignore[misc]
    """Replaces the linear layers of a model on the meta device, and tells transformers where the stored tensors go.

    Linear layers stay packed. What transformers merges or splits while loading (experts above all) is dequantized on the
    way and is in float in the model: `save_pretrained` refuses such a model, since its files would hold in float what the
    checkpoint packs.
    """

    requires_calibration = True
    quantization_config: QtQuantConfig

    def __init__(self, quantization_config: QtQuantConfig, **kwargs: Any) -> None:
        super().__init__(quantization_config, **kwargs)
        self._schemes: dict[str, Scheme] = quantization_config.scheme_of()
        self._stacks = quantization_config.stacks_of()
        self._placement = Placement()
        self._float_dtypes: dict[str, torch.dtype] = {}
        self._model: PreTrainedModel | None = None

    def _process_model_before_weight_loading(
        self,
        model: PreTrainedModel,
        dtype: torch.dtype | None = None,
        checkpoint_files: Sequence[str | Path] | None = None,
        **_: Any,
    ) -> PreTrainedModel:
        contents = read_contents(checkpoint_files, self._schemes)
        self._model = model
        self._float_dtypes = model._get_dtype_plan(dtype)
        transforms = with_stacks(get_model_conversion_mapping(model), self._stacks, model)
        self._placement = place(model, contents, transforms)
        shared = settle_ties(model, self._placement)
        for module, source in self._placement.packed.items():
            self._swap(model, module, source, contents)
        for module, holder in shared.items():
            self._swap(model, module, self._placement.packed[holder], contents)
        tie_companions(model, shared)
        return model

    def update_weight_conversions(
        self, weight_conversions: list[WeightTransform], model: PreTrainedModel | None = None
    ) -> list[WeightTransform]:
        """transformers' transforms, made to take packed tensors. Raises SourceError for a tensor that they would still lose.

        Up to 5.21 transformers does not say for which model.
        """
        model = model or self._model
        weight_conversions = with_stacks(weight_conversions, self._stacks, model)
        # Asked through copies: some transforms remember what they have seen.
        namer = Namer(model, deepcopy(weight_conversions))
        transforms = dense_transforms(weight_conversions, self._placement, self._schemes, self, namer)
        transforms += forced_renamings(self._placement, self._schemes, Namer(model, deepcopy(transforms)))
        self._check_arrival(Namer(model, deepcopy(transforms)))
        return transforms

    def get_new_dtype(self, converter: Any, param: Any, dtype: torch.dtype | None) -> torch.dtype | None:
        """None, for as it is stored, where a packed layer's own tensors are loaded."""
        leaf = converter.target_patterns[0].rpartition(".")[2]
        return None if leaf in COMPANIONS else super().get_new_dtype(converter, param, dtype)

    def dtype_of(self, name: str, parameter: torch.Tensor) -> torch.dtype:
        """The dtype in which the model wants its tensor `name`: its own, unless the model keeps that module in float32."""
        for pattern, dtype in self._float_dtypes.items():
            if re.search(pattern.replace("*", ".*"), name):
                return dtype
        return parameter.dtype

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **_: Any) -> PreTrainedModel:
        for module in packed_layers(model).values():
            for name in COMPANIONS:
                if getattr(module, name) is not None:
                    getattr(module, name).requires_grad_(False)
        self._model = None
        model._weight_conversions = _without_dequantizing(model._weight_conversions)
        return model

    def get_state_dict_and_metadata(self, model: PreTrainedModel) -> tuple[None, dict[str, str]]:
        """Renames the modules in the model's config to what `save_pretrained` is about to call them."""
        layers = packed_layers(model)
        codes = {f"{name}.{CODES}": layer.weight_packed.detach() for name, layer in layers.items()}
        marks = {name: torch.empty(0) for name in remove_tied_weights_from_state_dict(codes, model)}
        schemes = {id(mark): layers[name.removesuffix(f".{CODES}")].scheme for name, mark in marks.items()}
        saved = revert_weight_conversion(model, dict(marks))
        modules = {name.removesuffix(f".{CODES}"): schemes[id(mark)] for name, mark in saved.items()}
        model.config.quantization_config = self.quantization_config.with_modules(modules)
        return None, {}

    def is_serializable(self) -> bool:
        """True. Raises UsageError where weights were dequantized while loading."""
        for target in self._placement.dense:
            raise UsageError(
                f"{target} was dequantized while loading, so this model cannot be saved as the checkpoint it came from",
                hint="copy the checkpoint's folder; or call model.dequantize() first, to save all of it in float",
                code="save",
            )
        return True

    @property
    def is_trainable(self) -> bool:
        return False

    def _dequantize(self, model: PreTrainedModel, dtype: torch.dtype | str | None = None) -> PreTrainedModel:
        # transformers takes the dtype from the config, where saving has left its name.
        chosen = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        for name, layer in packed_layers(model).items():
            model.set_submodule(name, layer.to_linear(chosen))
        return model

    def _swap(self, model: PreTrainedModel, module: str, source: str, contents: Contents) -> None:
        linear = model.get_submodule(module)
        contents.check_shape(source, linear.out_features, linear.in_features)
        packed = QuantizedLinear(
            linear.in_features,
            linear.out_features,
            self._schemes[source],
            bias=linear.bias is not None,
            scale_dtype=contents.scale_dtype(source),
            dtype=self.dtype_of(f"{module}.weight", linear.weight),
            device="meta",
        )
        model.set_submodule(module, packed.train(linear.training))

    def _check_arrival(self, namer: Namer) -> None:
        for module, source in self._placement.packed.items():
            self._check(namer, source, {name: f"{module}.{name}" for name in COMPANIONS})
        for target, parts in self._placement.dense.items():
            for name in (name for names in parts.values() for name in names):
                source = name.removesuffix(".weight")
                self._check(namer, source, dict.fromkeys(COMPANIONS, target))

    def _check(self, namer: Namer, source: str, wanted: dict[str, str]) -> None:
        scheme = self._schemes.get(source)
        for name in COMPANIONS[: 0 if scheme is None else 2 if scheme.symmetric else 3]:
            got = namer.target(f"{source}.{name}")[0]
            if got != wanted[name]:
                raise SourceError(
                    f"transformers takes {source}.{name} for {got}, and it belongs to {wanted[name]}",
                    hint="load the checkpoint with the class that config.json names, and without key_mapping",
                    code="naming",
                )


def packed_layers(model: nn.Module) -> dict[str, QuantizedLinear]:
    """The packed layers of a model by name; a layer that is there twice, under its first."""
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantizedLinear)}


def _without_dequantizing(transforms: list[WeightTransform]) -> list[WeightTransform]:
    """What `save_pretrained` is to revert: transformers' own converters, in place of those that dequantize."""
    kept: list[WeightTransform] = []
    for transform in transforms:
        operation = transform.operations[0] if isinstance(transform, WeightConverter) else None
        original = operation.original if isinstance(operation, Dequantize) else transform
        if original is not None and original not in kept and not is_restacking(original):
            kept.append(original)
    return kept


def register() -> None:
    """Makes the plain format known to transformers, once."""
    if METHOD not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        register_quantization_config(METHOD)(QtQuantConfig)
    if METHOD not in AUTO_QUANTIZER_MAPPING:
        register_quantizer(METHOD)(QtQuantHfQuantizer)
