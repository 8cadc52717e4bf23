"""What the error map shows of weights whose codes no affine kernel decodes: floating-point codes and block layouts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.quant.chunk import QuantizedChunk, Raw, as_float32
from qtquant_app.quant.floats import code_of, is_float, numbers, rows_a_scale, steps
from qtquant_app.quant.kernels.inspect import restored_of


def view_values(raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme, view: View) -> NDArray[np.float32]:
    """`view` of each weight of a chunk, float32 [rows, columns]. Raises UsageError where the scheme has no such thing."""
    weights = as_float32(raw, dtype)
    if view is View.WEIGHT:
        return weights
    if view is View.SCALE:
        return by_weight(chunk, dtype, scheme, raw.shape[1], view)
    if view is View.ZERO:
        raise _nothing(scheme, view)
    restored = restored_of(chunk, dtype, scheme, raw.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        error = weights - restored
        if view is View.SATURATION:
            step = by_weight(chunk, dtype, scheme, raw.shape[1], view)
            return _saturated(error, restored, step, scheme)
        if view is View.SQUARED:
            error = np.square(error)
        if view is View.SIGNED:
            return error
        if view is View.RELATIVE:
            rms = np.sqrt(chunk.errors.square_weight / raw.shape[1]).astype(np.float32)
            error = error / np.where(rms > 0, rms, np.float32(1))[:, None]
    size: NDArray[np.float32] = np.abs(error)
    return size


def by_weight(chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int, view: View) -> NDArray[np.float32]:
    """The step that each weight's code is multiplied by, float32 [rows, columns]."""
    if not is_float(scheme):
        raise _nothing(scheme, view)
    step, rows = steps(chunk.scale, dtype, scheme, chunk.whole), len(chunk.packed)
    if scheme.strategy == "tensor":
        return np.full((rows, columns), step[0, 0])
    down = np.repeat(step, rows_a_scale(scheme, rows, len(step)), axis=0)[:rows]
    return np.repeat(down, scheme.group_size or columns, axis=1)[:, :columns]


def _saturated(
    error: NDArray[np.float32], restored: NDArray[np.float32], step: NDArray[np.float32], scheme: Scheme
) -> NDArray[np.float32]:
    """1 where a weight lies over half the last step beyond the last level, else 0."""
    code = code_of(scheme)
    _, below, last = np.sort(numbers(code)[np.isfinite(numbers(code))])[[0, -2, -1]]
    beyond = (np.abs(restored) == last * step) & (np.abs(error) > (last - below) / 2 * step) & (error * restored > 0)
    found: NDArray[np.float32] = beyond.astype(np.float32)
    return found


def _nothing(scheme: Scheme, view: View) -> UsageError:
    return UsageError(
        f"{scheme.label} has no {view.label.lower()} to draw", hint="choose another view of the error", code="view"
    )
