"""compressed-tensors' floating-point layouts: `float-quantized` (FP8), `nvfp4-pack-quantized` and `mxfp4-pack-quantized`.

As compressed-tensors 0.20 writes and reads them (compressors/naive_quantized, compressors/nvfp4, compressors/mxfp4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.placement import Placement
from qtquant_app.core.plan import Role
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes, Parameters, Stored, as_bytes, dense_slot, raw_dtype, whole_slot
from qtquant_app.quant.floats import FP8, NVFP4, code_of, scale_shape

_SCALE_DTYPES = {"F8_E4M3": "F8_E4M3", "F8_E8M0": "U8"}
"""What compressed-tensors stores codes of scales as."""


def stored(tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
    """The tensors of a weight: codes, scales, and NVFP4's divisor of all scales."""
    (rows, columns), module, code = tensor.shape, tensor.module, code_of(scheme)
    shape: tuple[int, ...] = (1,) if scheme.strategy == "tensor" else scale_shape(scheme, rows, columns)
    if code is FP8:
        return (
            Stored(f"{module}.weight", "F8_E4M3", (rows, columns), "codes"),
            Stored(f"{module}.weight_scale", tensor.dtype, shape, "scale"),
        )
    parts = (
        Stored(f"{module}.weight_packed", "U8", (rows, columns // 2), "codes"),
        Stored(f"{module}.weight_scale", _SCALE_DTYPES[code.scale_dtype], shape, "scale"),
    )
    return (*parts, Stored(f"{module}.weight_global_scale", "F32", (1,), "global")) if code is NVFP4 else parts


def encode_parameters(parameters: Parameters) -> dict[Role, Bytes]:
    """The bytes of the scales, and of the divisor where there is one."""
    encoded: dict[Role, Bytes] = {"scale": as_bytes(parameters.scale)}
    if parameters.whole is not None:
        encoded["global"] = as_bytes(parameters.whole)
    return encoded


def decode_parameters(tensor: TensorInfo, scheme: Scheme, read: Mapping[Role, Bytes]) -> Parameters:
    """The inverse. Raises ValueError where a divisor is none."""
    code = code_of(scheme)
    kind = np.dtype(np.uint8) if code.scale_dtype else raw_dtype(tensor.dtype)
    scale = read["scale"].view(kind).reshape(scale_shape(scheme, *tensor.shape))
    if code is not NVFP4:
        return Parameters(scale, None)
    whole = read["global"].view("<f4").reshape(1, 1)
    if not (np.isfinite(whole).all() and (whole > 0).all()):
        raise ValueError(f"weight_global_scale is {float(whole[0, 0])}, which nothing can be divided by")
    return Parameters(scale, None, whole)


def place(tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
    """Where code and scale of one weight lie."""
    codes, scale, *_ = stored(tensor, scheme)
    index = (
        (0,)
        if scheme.strategy == "tensor"
        else (row // scheme.row_block, column // (scheme.group_size or tensor.shape[1]))
    )
    if scheme.bits == 8:
        code = whole_slot(codes.name, codes.dtype, (row, column))
    else:
        code = dense_slot(codes.name, codes.dtype, column, scheme.bits, lambda byte: (row, byte))
    return Placement(code, whole_slot(scale.name, scale.dtype, index), None)


def group_config(scheme: Scheme) -> dict[str, Any]:
    """What config.json says of weights and activations, and which layout they have."""
    weights: dict[str, Any] = {"num_bits": scheme.bits, "type": "float", "symmetric": True, "dynamic": False}
    if scheme.bits == 8:
        weights["strategy"] = scheme.strategy
        if scheme.strategy == "block":
            weights["block_structure"] = [scheme.row_block, scheme.group_size]
        return {"weights": weights, "input_activations": _activations(scheme), "format": "float-quantized"}
    nvidia = code_of(scheme) is NVFP4
    dtype = "torch.float8_e4m3fn" if nvidia else "torch.uint8"
    weights |= {"strategy": "tensor_group" if nvidia else "group", "group_size": scheme.group_size}
    weights |= {"scale_dtype": dtype, "zp_dtype": dtype}
    layout = "nvfp4-pack-quantized" if nvidia else "mxfp4-pack-quantized"
    return {"weights": weights, "input_activations": None, "format": layout}


def _activations(scheme: Scheme) -> dict[str, Any] | None:
    """Rounded as they come: token by token, or by as many columns of a token as a block has."""
    if scheme.activations != "fp8":
        return None
    usual: dict[str, Any] = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": True}
    if scheme.strategy == "block":
        return {**usual, "strategy": "group", "group_size": scheme.group_size}
    return {**usual, "strategy": "token"}
