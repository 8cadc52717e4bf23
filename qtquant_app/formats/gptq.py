"""GPTQ: the dense stream of each output channel, transposed, as gptqmodel, AutoGPTQ and vLLM read it.

Per linear module M of [out, in]: `M.qweight` I32 [in * bits / 32, out], `M.scales` [groups, out] in the checkpoint's dtype,
`M.qzeros` I32 [groups, out * bits / 32], `M.g_idx` I32 [in], always i // group size. w = scale (code - zero).

A result that is symmetric throughout is of version 1, whose qzeros hold zero - 1; any other is of version 2 (`gptq_v2`), whose
qzeros hold the zero point itself: version 1 cannot say 0, for readers add 1 to whole words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.placement import Placement
from qtquant_app.core.plan import Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes, Format, Parameters, Stored, as_bytes, dense_slot, raw_dtype, whole_slot
from qtquant_app.formats.gptq_config import quantization_config, quantize_config_text
from qtquant_app.formats.transposed import refuse_mixture, turned, unturned
from qtquant_app.quant.kernels.packing import pack, unpack

_WORD_BITS = 32


class Gptq(Format):
    name = "gptq"
    title = "GPTQ"
    description = "transposed integers of 2, 3, 4 or 8 bits, version 1 where symmetric, else 2; columns stay in order"
    bits = (2, 3, 4, 8)
    readers = ("gptqmodel", "transformers with optimum and gptqmodel", "vLLM (4 and 8 bits, symmetric)")
    align = 4

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        return super().refuses(tensor, scheme) or _misfit(tensor, scheme)

    def adapted(
        self, checkpoint: Checkpoint, schemes: Sequence[Scheme | None], free: Sequence[bool]
    ) -> Sequence[Scheme | None]:
        refuse_mixture(
            checkpoint,
            schemes,
            lambda scheme: scheme.symmetric,
            "are symmetric or asymmetric all together: a version is for all",
        )
        return schemes

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        (rows, columns), module, groups = tensor.shape, tensor.module, scheme.groups(tensor.shape[1])
        return (
            Stored(f"{module}.qweight", "I32", (columns * scheme.bits // _WORD_BITS, rows), "codes", 1),
            Stored(f"{module}.qzeros", "I32", (groups, rows * scheme.bits // _WORD_BITS), "zero", 1),
            Stored(f"{module}.scales", tensor.dtype, (groups, rows), "scale", 1),
            Stored(f"{module}.g_idx", "I32", (columns,), "index"),
        )

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return turned(packed.view("<u4"))

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return unturned(rows, np.dtype("<u4"), len(rows)).view(np.uint8)

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        zero = parameters.zero
        if zero is None:
            zero = np.full(parameters.scale.shape, (scheme.levels >> 1) - 1, np.uint8)
        return {
            "scale": turned(parameters.scale),
            "zero": pack(np.ascontiguousarray(zero.T), scheme.bits, 4),
            "index": as_bytes(_index(tensor, scheme)),
        }

    def rows_together(self, scheme: Scheme) -> int:
        # A group's zero points are packed down the rows: so many of them fill whole words.
        return _WORD_BITS // gcd(_WORD_BITS, scheme.bits)

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        rows, columns = tensor.shape
        if not np.array_equal(stored["index"].reshape(-1).view("<i4"), _index(tensor, scheme)):
            raise ValueError(f"g_idx is not the order of its {columns} columns")
        groups = scheme.groups(columns)
        scale = unturned(stored["scale"], raw_dtype(tensor.dtype), groups)
        zero = np.ascontiguousarray(unpack(stored["zero"].reshape(groups, -1), scheme.bits, rows).T)
        if not scheme.symmetric:
            return Parameters(scale, zero)
        middle = (scheme.levels >> 1) - 1
        if not (zero == middle).all():
            raise ValueError(f"a stored zero point of a symmetric weight is not {middle}")
        return Parameters(scale, None)

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        codes, zero, scale, _ = self.stored(tensor, scheme)
        group, less = column // scheme.group_size if scheme.group_size else 0, int(scheme.symmetric)
        return Placement(
            replace(dense_slot(codes.name, codes.dtype, column, scheme.bits, lambda word: (word, row)), along=0),
            whole_slot(scale.name, scale.dtype, (group, row)),
            dense_slot(zero.name, zero.dtype, row, scheme.bits, lambda word: (group, word), less),
        )

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        return quantization_config(tensors)

    def more_texts(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, str]:
        return {"quantize_config.json": quantize_config_text(tensors)}


def _misfit(tensor: TensorInfo, scheme: Scheme) -> str:
    rows, columns = tensor.shape
    if scheme.bits not in Gptq.bits:
        return f"the gptq format packs 2, 3, 4 or 8 bits, not {scheme.bits}"
    if scheme.activations != "none":
        return "the gptq format says nothing of activations"
    if scheme.strategy == "tensor":
        return "the gptq format has a scale per group or channel, not one per tensor"
    if scheme.group_size is not None and columns % scheme.group_size:
        return f"group size {scheme.group_size} does not divide its {columns} columns"
    step = _WORD_BITS // gcd(_WORD_BITS, scheme.bits)
    for count, what in ((columns, "columns"), (rows, "rows")):
        if count % step:
            return f"{scheme.bits}-bit codes of its {count} {what} do not fill whole 32-bit words"
    return ""


def _index(tensor: TensorInfo, scheme: Scheme) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The group of each column: their order."""
    columns = tensor.shape[1]
    return (np.arange(columns) // (scheme.group_size or columns)).astype("<i4")
