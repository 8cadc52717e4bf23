"""Quantizes the matrices of a block by what they are given, each on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods

if TYPE_CHECKING:
    from torch import Tensor

    from qtquant_app.quant.solvers.grid import Solved

FEW = 0.25
"""Tokens of a matrix for each of its columns below which what it was given says little: an expert that few tokens went to."""


@dataclass(frozen=True)
class Matrix:
    """A matrix to quantize: its float32 weight [rows, columns], folded, and the second moments of its inputs, divided likewise."""

    tensor: TensorInfo
    scheme: Scheme
    weight: Tensor
    hessian: Tensor | None
    """None where no token came to it."""
    tokens: int = 0

    @property
    def folding(self) -> str:
        return methods.steps(self.scheme.method)[0]

    @property
    def rounding(self) -> str:
        return methods.steps(self.scheme.method)[1]


def is_stored(scheme: Scheme) -> bool:
    """Whether calibration finds the codes themselves, so that they have to be kept; else the run rounds what was folded."""
    folding, rounding = methods.steps(scheme.method)
    return methods.find(scheme.method).needs_calibration and (rounding in ("gptq", "learned") or folding == "awq")


def solved(matrix: Matrix) -> tuple[Solved, str]:
    """The codes of a matrix, and what the user should know of them: a sentence, or nothing.

    `learned` is started from GPTQ's codes here; learning itself is for whole blocks.
    """
    from qtquant_app.quant.solvers.gptq import gptq
    from qtquant_app.quant.solvers.grid import Solved, encode, range_grid

    name, weight, dtype = matrix.tensor.name, matrix.weight, matrix.tensor.dtype
    if matrix.hessian is None:
        grid = range_grid(weight, matrix.scheme, dtype)
        return Solved(encode(weight, grid), grid), f"{name}: no sample reached it, so it is quantized by clip search"
    if matrix.rounding in ("gptq", "learned"):
        found = gptq(weight, matrix.hessian, matrix.scheme, dtype)
        return found.solved, f"{name}: {found.reason}, so it is quantized by clip search" if found.reason else _few(
            matrix
        )
    return clipped(matrix), _few(matrix)


def clipped(matrix: Matrix) -> Solved:
    """The nearest codes on ranges that are clipped by the output's error."""
    from qtquant_app.quant.solvers.awq import awq_ranges

    assert matrix.hessian is not None
    return awq_ranges(matrix.weight, matrix.hessian, matrix.scheme, matrix.tensor.dtype)


def _few(matrix: Matrix) -> str:
    columns = matrix.weight.shape[1]
    if matrix.tokens >= FEW * columns:
        return ""
    return (
        f"{matrix.tensor.name}: {matrix.tokens:,} tokens reached it, few for {columns:,} columns; more samples may help"
    )
