"""MLX, its affine mode: the dense stream of each row, with a scale and a float offset for each group, as mlx-lm reads it.

Per linear module M of [out, in]: `M.weight` U32 [out, in * bits / 32], `M.scales` and `M.biases` [out, in / group size] in the
checkpoint's dtype. w = scale code + bias. Asymmetric weights get float offsets, which are the biases as they are stored; those of
a symmetric weight are -2^(bits-1) times its scales, which every dtype holds exactly as far as it reaches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.placement import Placement
from qtquant_app.core.plan import Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes, Format, Parameters, Stored, as_bytes, dense_slot, raw_dtype, whole_slot
from qtquant_app.formats.mlx_stacks import refuse_torn_stacks, stack_of
from qtquant_app.quant.chunk import as_float32

_WORD_BITS = 32
_GROUPS = (32, 64, 128)
_AT_ONCE = 1 << 16


class Mlx(Format):
    name = "mlx"
    title = "MLX"
    description = (
        "what mlx-lm and LM Studio load on Apple computers: groups of 32, 64 or 128, asymmetric ones with float offsets"
    )
    bits = (2, 3, 4, 5, 6, 8)
    readers = ("mlx-lm",)
    takes = frozenset({Kind.LINEAR, Kind.EXPERT, Kind.HEAD, Kind.EMBEDDING})
    float_offsets = True
    align = 4
    header_metadata: ClassVar[Mapping[str, str]] = {"format": "mlx"}

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        return super().refuses(tensor, scheme) or _misfit(tensor, scheme)

    def adapted(
        self, checkpoint: Checkpoint, schemes: Sequence[Scheme | None], free: Sequence[bool]
    ) -> Sequence[Scheme | None]:
        refuse_torn_stacks(checkpoint, schemes)
        known = {id(scheme): _with_float_offset(scheme) for scheme in schemes}
        if all(known[id(scheme)] is scheme for scheme in schemes):
            return schemes
        return [known[id(scheme)] for scheme in schemes]

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        rows, columns = tensor.shape
        module, part = stack_of(tensor)
        first = (rows,) if part is None else (1, rows)
        shape = (*first, scheme.groups(columns))
        return (
            Stored(f"{module}.weight", "U32", (*first, columns * scheme.bits // _WORD_BITS), "codes"),
            Stored(f"{module}.scales", tensor.dtype, shape, "scale"),
            Stored(f"{module}.biases", tensor.dtype, shape, "zero"),
        )

    def stack(self, tensor: TensorInfo) -> int | None:
        return stack_of(tensor)[1]

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return packed

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return rows

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        bias = parameters.zero
        if bias is None:
            bias = _symmetric_bias(parameters.scale, tensor.dtype, scheme)
        return {"scale": as_bytes(parameters.scale), "zero": as_bytes(bias)}

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        shape = tensor.shape[0], scheme.groups(tensor.shape[1])
        scale, bias = (stored[role].view(raw_dtype(tensor.dtype)).reshape(shape) for role in ("scale", "zero"))
        if not scheme.symmetric:
            return Parameters(scale, bias)
        if not np.array_equal(bias, _symmetric_bias(scale, tensor.dtype, scheme)):
            raise ValueError(f"a bias of a symmetric weight is not -{scheme.levels // 2} times its scale")
        return Parameters(scale, None)

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        codes, scale, bias = self.stored(tensor, scheme)
        part = self.stack(tensor)
        first = (row,) if part is None else (part, row)
        index = *first, column // (scheme.group_size or tensor.shape[1])
        return Placement(
            dense_slot(codes.name, codes.dtype, column, scheme.bits, lambda word: (*first, word)),
            whole_slot(scale.name, scale.dtype, index),
            whole_slot(bias.name, bias.dtype, index) if scheme.offset == "float" else None,
        )

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        counts = Counter(_ways(t.scheme) for t in tensors if t.scheme is not None)
        usual = counts.most_common(1)[0][0] if counts else (0, 0)
        config: dict[str, Any] = _entry(*usual)
        for tensor in tensors:
            if tensor.scheme is not None:
                if _ways(tensor.scheme) != usual:
                    config[stack_of(tensor)[0]] = _entry(*_ways(tensor.scheme))
            elif tensor.kind in (Kind.LINEAR, Kind.EXPERT, Kind.HEAD, Kind.EMBEDDING) and tensor.name.endswith(
                ".weight"
            ):
                config[tensor.module] = False
        return config

    def config_entries(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        config = self.quantization_config(checkpoint, tensors)
        return {"quantization": config, "quantization_config": config} | _older_words(checkpoint.config)


def _older_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers 5 says of rotary embeddings and of experts, in the older words: for most models mlx-lm 0.32 reads no
    others, and fails or takes its own default where they are missing."""
    words: dict[str, Any] = {}
    if "num_local_experts" in config:
        words["num_experts"] = config["num_local_experts"]
    said = config.get("rope_parameters")
    if isinstance(said, Mapping) and "rope_theta" in said:
        words["rope_theta"] = said["rope_theta"]
        if said.get("rope_type", "default") != "default":
            words["rope_scaling"] = dict(said)
    return {word: value for word, value in words.items() if config.get(word) is None}


def _entry(bits: int, size: int) -> dict[str, Any]:
    return {"group_size": size, "bits": bits, "mode": "affine"}


def _ways(scheme: Scheme) -> tuple[int, int]:
    return scheme.bits, scheme.group_size or 0


def _with_float_offset(scheme: Scheme | None) -> Scheme | None:
    if scheme is None or scheme.symmetric or scheme.type != "int" or scheme.strategy != "group":
        return scheme
    return scheme if scheme.offset == "float" or scheme.layout is not None else replace(scheme, offset="float")


def _symmetric_bias(scale: NDArray[Any], dtype: str, scheme: Scheme) -> NDArray[Any]:
    """-2^(bits-1) scale, [rows, groups] in the same dtype: a power of two, so that only the exponent changes."""
    biases = np.empty(scale.size, scale.dtype)
    with np.errstate(over="ignore"):
        for at in range(0, scale.size, _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            bias = as_float32(scale.reshape(-1)[part], dtype) * np.float32(-(scheme.levels // 2))
            biases[part] = bias.view(np.uint32) >> np.uint32(16) if dtype == "BF16" else bias
    return biases.reshape(scale.shape)


def _misfit(tensor: TensorInfo, scheme: Scheme) -> str:
    columns = tensor.shape[1]
    if scheme.bits not in Mlx.bits:
        return f"the mlx format packs 2, 3, 4, 5, 6 or 8 bits, not {scheme.bits}"
    if scheme.activations != "none":
        return "the mlx format says nothing of activations"
    if scheme.strategy != "group" or scheme.group_size not in _GROUPS:
        return "mlx reads groups of 32, 64 or 128 columns only"
    if columns % scheme.group_size:
        return f"group size {scheme.group_size} does not divide its {columns} columns"
    return ""
