"""AWQ, its GEMM version: four bits, eight output channels to a word, as gptqmodel, vLLM and mlx-lm read it.

Per linear module M of [out, in]: `M.qweight` I32 [in, out / 8], `M.qzeros` I32 [groups, out / 8], `M.scales` [groups, out] in the
checkpoint's dtype. Nibble j of a word is channel 0, 2, 4, 6, 1, 3, 5, 7 of its eight. w = scale (code - zero); a symmetric
weight's zero points are all 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.placement import Placement, Slot
from qtquant_app.core.plan import Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes, Format, Parameters, Stored, raw_dtype, whole_slot
from qtquant_app.formats.transposed import refuse_mixture, turned, unturned
from qtquant_app.quant.kernels.awq import EACH, turn, turn_back
from qtquant_app.quant.kernels.packing import pack, unpack

_BITS = 4
_MIDDLE = 8


class Awq(Format):
    name = "awq"
    title = "AWQ"
    description = "four-bit integers, eight channels to a word; one group size for all layers"
    bits = (_BITS,)
    readers = ("vLLM", "gptqmodel", "transformers with gptqmodel", "mlx-lm")
    align = 4

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        return super().refuses(tensor, scheme) or _misfit(tensor, scheme)

    def adapted(
        self, checkpoint: Checkpoint, schemes: Sequence[Scheme | None], free: Sequence[bool]
    ) -> Sequence[Scheme | None]:
        refuse_mixture(checkpoint, schemes, lambda scheme: scheme.group_size, "AWQ has one group size for all layers")
        return schemes

    def row_step(self, scheme: Scheme) -> int:
        return EACH

    def rows_together(self, scheme: Scheme) -> int:
        return EACH

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        (rows, columns), module, groups = tensor.shape, tensor.module, scheme.groups(tensor.shape[1])
        return (
            Stored(f"{module}.qweight", "I32", (columns, rows // EACH), "codes", 1),
            Stored(f"{module}.qzeros", "I32", (groups, rows // EACH), "zero", 1),
            Stored(f"{module}.scales", tensor.dtype, (groups, rows), "scale", 1),
        )

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return turn(packed).view(np.uint8)

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return turn_back(rows.view("<u4"))

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        zero = parameters.zero
        if zero is None:
            zero = np.full(parameters.scale.shape, _MIDDLE, np.uint8)
        even = np.zeros((len(zero), zero.shape[1] + zero.shape[1] % 2), np.uint8)
        even[:, : zero.shape[1]] = zero
        words = turn(pack(even, _BITS))[: zero.shape[1]]
        return {"scale": turned(parameters.scale), "zero": words.view(np.uint8)}

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        rows, groups = tensor.shape[0], scheme.groups(tensor.shape[1])
        words = stored["zero"].reshape(-1).view("<u4").reshape(groups, rows // EACH)
        even = np.concatenate([words, words[: groups % 2]])
        zero = unpack(turn_back(even), _BITS, groups)
        scale = unturned(stored["scale"], raw_dtype(tensor.dtype), groups)
        if not scheme.symmetric:
            return Parameters(scale, zero)
        if not (zero == _MIDDLE).all():
            raise ValueError(f"a stored zero point of a symmetric weight is not {_MIDDLE}")
        return Parameters(scale, None)

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        codes, zero, scale = self.stored(tensor, scheme)
        group = column // scheme.group_size if scheme.group_size else 0
        return Placement(
            _nibble(codes, (column, row // EACH), row),
            whole_slot(scale.name, scale.dtype, (group, row)),
            _nibble(zero, (group, row // EACH), row),
        )

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        sizes = [tensor.scheme.group_size or -1 for tensor in tensors if tensor.scheme is not None]
        return {
            "quant_method": "awq",
            "bits": _BITS,
            "group_size": sizes[0] if sizes else -1,
            "zero_point": True,
            "version": "gemm",
            "modules_to_not_convert": _kept(tensors),
        }


def _nibble(stored: Stored, index: tuple[int, int], row: int) -> Slot:
    channel = row % EACH
    first = 4 * (channel // 2 + 4 * (channel % 2))
    return Slot(stored.name, stored.dtype, (index,), tuple((0, first + bit) for bit in range(_BITS)), along=None)


def _kept(tensors: Sequence[TensorPlan]) -> list[str]:
    """Linear modules that stay in float; the head also where it is tied to the embedding and has no weight of its own."""
    linear = {Kind.LINEAR, Kind.EXPERT, Kind.HEAD, Kind.OTHER}
    kept = [t.module for t in tensors if t.scheme is None and t.kind in linear and len(t.shape) == 2]
    head = any(t.kind == Kind.HEAD and t.scheme is not None for t in tensors)
    return list(dict.fromkeys([*kept, *([] if head else ["lm_head"])]))


def _misfit(tensor: TensorInfo, scheme: Scheme) -> str:
    rows, columns = tensor.shape
    if scheme.bits != _BITS:
        return f"the awq format packs 4 bits, not {scheme.bits}"
    if scheme.activations != "none":
        return "the awq format says nothing of activations"
    if scheme.strategy == "tensor":
        return "the awq format has a scale per group or channel, not one per tensor"
    if scheme.group_size is not None and columns % scheme.group_size:
        return f"group size {scheme.group_size} does not divide its {columns} columns"
    if rows % EACH or columns % EACH:
        return f"its {rows} rows and {columns} columns do not both come in eights"
    return ""
