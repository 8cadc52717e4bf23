"""Ranges of float32 matrices that are no tensor of a file: what a solver fits a grid to. Nothing is coded or packed here."""

from __future__ import annotations

from typing import Any

from qtquant_app.quant.kernels import offsets
from qtquant_app.quant.kernels.affine import search
from qtquant_app.quant.kernels.fused import lift
from qtquant_app.quant.kernels.intrinsics import bits_float
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.ranges import weigh
from qtquant_app.quant.kernels.source import extremes


@compiled
def search_rows(
    weights: Any,
    columns: int,
    kind: int,
    bits: int,
    symmetric: bool,
    floating: bool,
    group: int,
    ranges: Any,
    scales: Any,
    zeros: Any,
    values: Any,
    searched: Any,
) -> None:
    """Fills scales and zeros, float32 [rows * groups], for weights [rows * columns], the bits of finite float32 (uint32).

    Scales, and zeros that are `floating`, are numbers of the dtype `kind`, infinite where it does not reach. `values` float32
    [columns + 16] and `searched` float32 [group + 16] are scratch.
    """
    top, across = (1 << bits) - 1, (columns + group - 1) // group
    for row in range(len(weights) // columns):
        for column in range(columns):
            values[column] = bits_float(weights[row * columns + column])
        for index in range(across):
            first, last = index * group, min((index + 1) * group, columns)
            lo, hi = extremes(values, first, last)
            blocks = lift(values, first, last, searched)
            weighed = weigh(ranges, first, last)
            place = row * across + index
            if floating:
                _, scale, _, offset = offsets.search(
                    searched, ranges.shares, weighed, last - first, lo, hi, ranges.factors, top, kind
                )
                scales[place], zeros[place] = scale, offset
            else:
                _, scale, zero = search(
                    searched, ranges.shares, weighed, blocks, lo, hi, ranges.factors, top, symmetric, kind
                )
                scales[place], zeros[place] = scale, zero
