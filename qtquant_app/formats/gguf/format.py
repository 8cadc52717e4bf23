"""The GGUF format: one file that llama.cpp, Ollama and LM Studio load as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.layouts import LAYOUTS, MIXTURE, is_mixture
from qtquant_app.core.placement import Placement
from qtquant_app.core.plan import PlanWarning, Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes, Format, Parameters, Stored, raw_dtype
from qtquant_app.formats.gguf.architectures.base import Target, row_positions
from qtquant_app.formats.gguf.bound import Bound, Table, bind, kept_type, layout_for
from qtquant_app.formats.gguf.kept import from_float32, to_float32
from qtquant_app.formats.gguf.mixtures import fallback, is_quantized, type_of
from qtquant_app.formats.gguf.places import placement
from qtquant_app.formats.gguf.values import Value
from qtquant_app.quant import methods


class Gguf(Format):
    name = "gguf"
    title = "GGUF"
    description = "one file for llama.cpp, Ollama and LM Studio: block types, and llama.cpp's mixtures of them"
    extension = ".gguf"
    bits = (2, 3, 4, 5, 6, 8)
    readers = ("llama.cpp", "Ollama", "LM Studio")
    codes = ("layout", "int")
    container = "gguf"
    takes = Format.takes | {Kind.EMBEDDING}
    may_keep_all = True
    keeps_stacks = False
    align = 1

    def __init__(self, bound: Bound | None = None) -> None:
        self._bound = bound

    @property
    def _model(self) -> Bound:
        assert self._bound is not None, "a GGUF file is of one model: bound() says of which"
        return self._bound

    def bound(self, checkpoint: Checkpoint) -> Gguf:
        return Gguf(bind(checkpoint))

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        if scheme.layout is None and scheme.type == "int":
            return f"GGUF has no block type for {scheme.label}"
        return super().refuses(tensor, scheme)

    def adapted(
        self, checkpoint: Checkpoint, schemes: Sequence[Scheme | None], free: Sequence[bool]
    ) -> Sequence[Scheme | None]:
        """Block types in place of mixtures and plain schemes. What the recipe leaves alone (embeddings, heads) gets what a
        mixture gives it, where the recipe has one."""
        mixture = next((scheme for scheme in schemes if scheme is not None and is_mixture(scheme.layout)), None)
        asked = [mixture if open_ else scheme for scheme, open_ in zip(schemes, free, strict=True)]
        found = [
            None if scheme is None else self._adapted(tensor, scheme)
            for tensor, scheme in zip(checkpoint.tensors, asked, strict=True)
        ]
        self._check_stacks(checkpoint.tensors, found)
        return found

    def _adapted(self, tensor: TensorInfo, scheme: Scheme) -> Scheme | None:
        target = self._target(tensor)
        if target is None or tensor.dtype not in ("F32", "F16", "BF16"):
            return None
        layout = self._layout(tensor, target.name, scheme)
        if layout is None:
            return scheme if is_quantized(target.name, len(tensor.shape)) else None
        if layout in ("", tensor.dtype):
            return None
        return _of_layout(layout, _method(scheme.method, layout, tensor.kind))

    def _layout(self, tensor: TensorInfo, name: str, scheme: Scheme) -> str | None:
        """The block type; empty where the tensor stays as it is, None where GGUF has none."""
        if scheme.layout is not None and is_mixture(scheme.layout):
            return type_of(scheme.layout.removeprefix(MIXTURE), name, tensor.shape, self._model.model) or ""
        plain = scheme.type == "int" and scheme.activations == "none"
        found = scheme.layout or (layout_for(scheme.bits, scheme.symmetric) if plain else None)
        if found is None or not is_quantized(name, len(tensor.shape)):
            return None
        return fallback(found, tensor.shape[-1])

    def _check_stacks(self, tensors: Sequence[TensorInfo], schemes: Sequence[Scheme | None]) -> None:
        """Raises PlanError where experts that share a tensor would not have one type."""
        seen: dict[str, tuple[str, str]] = {}
        for tensor, scheme in zip(tensors, schemes, strict=True):
            target = self._target(tensor)
            if target is None or target.expert is None:
                continue
            type_ = tensor.dtype if scheme is None or scheme.layout is None else scheme.layout
            first, other = seen.setdefault(target.name, (tensor.name, type_))
            if other != type_:
                raise PlanError(
                    f"{first} and {tensor.name} lie in one tensor of a GGUF file, {target.name}, and cannot be {other} "
                    f"and {type_}",
                    hint="give all experts of a block the same scheme",
                    code="stack",
                )

    def _target(self, tensor: TensorInfo) -> Target | None:
        return self._model.targets.get(tensor.name)

    def _sized(self, tensor: TensorInfo) -> Target | None:
        """The target, or, before the model is known, one of the same size: as much as predictions need."""
        return Target(tensor.name) if self._bound is None else self._target(tensor)

    def stack(self, tensor: TensorInfo) -> int | None:
        target = self._target(tensor)
        return None if target is None else target.expert

    def row_positions(self, tensor: TensorInfo) -> NDArray[np.int64] | None:
        target = self._target(tensor)
        return None if target is None or not target.heads else _positions(tensor.shape[0], target.heads)

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        target = self._sized(tensor)
        if target is None or scheme.layout is None:
            return ()
        return (Stored(target.name, scheme.layout, _shape(tensor, target), "codes"),)

    def kept(self, tensor: TensorInfo) -> tuple[Stored, ...]:
        target = self._sized(tensor)
        if target is None:
            return ()
        try:
            type_ = kept_type(tensor, target.name)
        except ValueError as error:
            raise PlanError(
                f"a GGUF file {error}", hint="another format keeps it as it is", code="format-constraint"
            ) from None
        return (Stored(target.name, type_, _shape(tensor, target), "kept"),)

    def encode_kept(self, tensor: TensorInfo, data: Bytes) -> Bytes:
        target = self._target(tensor)
        if target is None or kept_type(tensor, target.name) != "F32":
            return data
        return to_float32(data, tensor.dtype, target.offset)

    def decode_kept(self, tensor: TensorInfo, data: Bytes) -> Bytes:
        target = self._target(tensor)
        if target is None or kept_type(tensor, target.name) != "F32":
            return data
        return from_float32(data, tensor.dtype, target.offset)

    def metadata(self, tensors: Table) -> Mapping[str, Value]:
        return self._model.metadata(tensors)

    def made(self) -> Mapping[str, tuple[str, tuple[int, ...], bytes]]:
        return {name: ("F32", factors.shape, factors.tobytes()) for name, factors in self._model.made().items()}

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return packed

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return rows

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        return {}

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        return Parameters(np.empty((tensor.shape[0], 0), raw_dtype(tensor.dtype)), None)

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        (codes,) = self.stored(tensor, scheme)
        positions = self.row_positions(tensor)
        at = row if positions is None else int(positions[row])
        return placement(codes.name, LAYOUTS[codes.dtype], at, column)

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        return {}

    def warnings(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> tuple[PlanWarning, ...]:
        found = super().warnings(checkpoint, tensors)
        out = len(self._model.left_out)
        if not out:
            return found
        sentence = f"only the text part goes into the file: {out} tensors that look at pictures are left out"
        return (*found, PlanWarning("text-part", sentence))


@lru_cache(maxsize=256)
def _of_layout(layout: str, method: str) -> Scheme:
    """One object for each: plans tell tensors of a kind apart by it."""
    return replace(Scheme.of_layout(layout), method=method)


def _method(name: str, layout: str, kind: Kind) -> str:
    """The method itself; of one that looks at samples what it starts from, where they say nothing: an embedding is looked up, not
    multiplied with, and F16 and BF16 have no scales."""
    method = methods.find(name)
    if not method.needs_calibration:
        return name
    if LAYOUTS[layout].block == 1:
        return "rtn"
    return method.start if kind is Kind.EMBEDDING else name


@lru_cache(maxsize=16)
def _positions(rows: int, heads: int) -> NDArray[np.int64]:
    return row_positions(rows, heads)


def _shape(tensor: TensorInfo, target: Target) -> tuple[int, ...]:
    return tensor.shape if target.expert is None else (1, *tensor.shape)
