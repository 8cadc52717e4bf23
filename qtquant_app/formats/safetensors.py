"""Float weights in safetensors and no quantization: what a quantized checkpoint is decoded to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.placement import Placement
from qtquant_app.core.plan import Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes, Format, Parameters, Stored, whole_slot


class FloatSafetensors(Format):
    """Every tensor is kept: as it is, or decoded by the reader to the dtype that its scales have."""

    name = "safetensors"
    title = "safetensors, float"
    description = "float weights: a quantized checkpoint decoded, for whatever reads or quantizes floats"
    readers = ("transformers", "vLLM", "every converter")
    codes = ()
    may_keep_all = True

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        return "the safetensors format holds float weights and quantizes nothing"

    def adapted(
        self, checkpoint: Checkpoint, schemes: Sequence[Scheme | None], free: Sequence[bool]
    ) -> Sequence[Scheme | None]:
        return [None] * len(schemes)

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        return (Stored(tensor.name, tensor.dtype, tensor.shape, "codes"),)

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return packed

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return rows

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        return {}

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        raise ValueError("float weights have no scales")

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        weight = whole_slot(tensor.name, tensor.dtype, (row, column))
        return Placement(weight, weight, None)

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        return {}

    def config_entries(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        return {}
