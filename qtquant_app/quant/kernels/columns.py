"""Rounding a block of columns one after the other, each with what the errors of the columns before it ask of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.kernels.affine import ROUNDER
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.source import span


@compiled
def visit_rows(
    weights: Any,
    wanted: Any,
    errors: Any,
    codes: Any,
    coupling: Any,
    groups: Any,
    scales: Any,
    zeros: Any,
    top: int,
    floating: bool,
    width: int,
) -> None:
    """Rounds weights [rows * width], float32, column after column: the code of column k is the nearest to weights + wanted.

    An error e = w - w' that changes by d adds d coupling[k * width + j] to what is `wanted` of each later column j: [rows * width],
    float32, changed in place as errors and codes (uint8) are. `groups` int64 [width] says in which group of scales and zeros
    [rows * across], float32, a column lies; `floating` zeros are offsets.
    """
    across = len(scales) * width // len(weights)
    for row in range(len(weights) // width):
        base = np.uint64(row * width)
        for k in range(width):
            at = row * width + k
            place = row * across + groups[k]
            scale, zero = scales[place], zeros[place]
            shift = zero if floating else np.float32(0)
            lowest = np.float32(0) if floating else np.float32(-zero)
            highest = np.float32(top) if floating else np.float32(np.float32(top) - zero)
            steps = np.float32(np.float32(np.float32(weights[at] + wanted[at]) - shift) / scale)
            steps = steps if steps > lowest else lowest
            steps = steps if steps < highest else highest
            steps = np.float32(np.float32(steps + ROUNDER) - ROUNDER)
            codes[at] = np.uint8(np.int32(steps - lowest))
            error = np.float32(weights[at] - np.float32(np.float32(steps * scale) + shift))
            change = np.float32(error - errors[at])
            errors[at] = error
            if change != 0:
                line = np.uint64(k * width)
                for j in span(k + 1, width):
                    wanted[base + j] += change * coupling[line + j]
