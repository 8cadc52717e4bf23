"""Two instructions that Python has no word for: from a float to its bits, and back."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def float_bits(_context: Any, value: Any) -> Any:
    """float32 -> uint32: the bits of a float."""

    def emit(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), emit


@intrinsic
def bits_float(_context: Any, value: Any) -> Any:
    """uint32 -> float32: the float that has these bits."""

    def emit(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), emit
