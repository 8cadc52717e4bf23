"""The plain format: what the course packs by hand. `qtquant_app.load` reads it back into a torch model.

Per linear module M: `M.weight_packed` U8 [rows, ceil(columns*bits/8)], lowest code first in a byte;
`M.weight_scale` [rows, groups] in the checkpoint's dtype ([1] for a whole tensor); `M.weight_zero_point` U8, the same
shape, where the scheme is asymmetric. w = scale * (code - zero), zero = 2^(bits-1) where it is not stored.
Of type float the codes are FP8 E4M3, a byte each, with a scale for each tensor, row or square block: w = scale * code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.placement import Placement
from qtquant_app.core.plan import Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.stacks import Stack, taken_apart
from qtquant_app.formats.base import (
    Bytes,
    Format,
    Parameters,
    Stored,
    as_bytes,
    dense_slot,
    raw_dtype,
    scale_index,
    scale_shape,
    whole_slot,
)
from qtquant_app.quant.floats import FP8, code_of, is_float
from qtquant_app.quant.floats import scale_shape as float_scale_shape


class QtQuantFormat(Format):
    name = "qtquant"
    title = "QtQuant plain"
    description = "uint8-packed codes or FP8, scales and zero points; the last group of a row may be shorter"
    bits = (2, 4, 8)
    codes = ("int", "float")
    readers = ("qtquant_app.load", "transformers after `import qtquant_app.transformers`")
    align = 1

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        if scheme.bits not in self.bits:
            return f"the qtquant format packs 2, 4 or 8 bits, not {scheme.bits}"
        if is_float(scheme) and code_of(scheme) is not FP8:
            return f"the qtquant format holds FP8 alone of floating-point codes, not {code_of(scheme).name}"
        return super().refuses(tensor, scheme)

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        rows, columns = tensor.shape
        shape = _scale_shape(tensor, scheme)
        stored = [
            Stored(f"{tensor.module}.weight_packed", "U8", (rows, -(-columns * scheme.bits // 8)), "codes"),
            Stored(f"{tensor.module}.weight_scale", tensor.dtype, shape, "scale"),
        ]
        if not scheme.symmetric:
            stored.append(Stored(f"{tensor.module}.weight_zero_point", "U8", shape, "zero"))
        return tuple(stored)

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return packed

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return rows

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        encoded: dict[Role, Bytes] = {"scale": as_bytes(parameters.scale)}
        if parameters.zero is not None:
            encoded["zero"] = as_bytes(parameters.zero)
        return encoded

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        rows, columns = (1, 1) if scheme.strategy == "tensor" else _scale_shape(tensor, scheme)
        scale = stored["scale"].view(raw_dtype(tensor.dtype)).reshape(rows, columns)
        zero = None if scheme.symmetric else stored["zero"].view(np.uint8).reshape(rows, columns)
        return Parameters(scale, zero)

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        stored = {part.role: part for part in self.stored(tensor, scheme)}
        codes, scale, zero = stored["codes"], stored["scale"], stored.get("zero")
        index = scale_index(scheme, row // scheme.row_block, column)
        return Placement(
            dense_slot(codes.name, codes.dtype, column, scheme.bits, lambda byte: (row, byte)),
            whole_slot(scale.name, scale.dtype, index),
            None if zero is None else whole_slot(zero.name, zero.dtype, index),
        )

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        schemes: list[Scheme] = []
        modules: dict[str, int] = {}
        for tensor in tensors:
            if tensor.scheme is not None:
                if tensor.scheme not in schemes:
                    schemes.append(tensor.scheme)
                modules[tensor.module] = schemes.index(tensor.scheme)
        stacks = {stack.tensor.name: _stack_json(stack) for stack in taken_apart(checkpoint, tensors)}
        return {
            "quant_method": "qtquant",
            "version": 1,
            "schemes": [scheme.to_json() for scheme in schemes],
            "modules": modules,
            **({"stacks": stacks} if stacks else {}),
        }


def _scale_shape(tensor: TensorInfo, scheme: Scheme) -> tuple[int, ...]:
    """As `scale_shape`; of square blocks [row blocks, column blocks]."""
    if scheme.strategy == "block":
        return float_scale_shape(scheme, *tensor.shape)
    return scale_shape(tensor, scheme)


def _stack_json(stack: Stack) -> dict[str, Any]:
    """How the experts of a stack that was taken apart lay in it: what loads the result puts them together again."""
    return {
        "experts": stack.prefix,
        "leaves": list(stack.leaves),
        "shape": list(stack.tensor.shape),
        "transposed": stack.transposed,
        "interleaved": stack.interleaved,
    }
