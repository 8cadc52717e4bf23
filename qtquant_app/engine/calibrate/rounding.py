"""Quantizes the matrices of a block by what they are given, each on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods

if TYPE_CHECKING:
    from torch import Tensor

    from qtquant_app.quant.solvers.gptq import Found
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
    name = matrix.tensor.name
    if matrix.hessian is None:
        return _nearest(matrix), f"{name}: no sample reached it, so it is quantized by clip search"
    if matrix.rounding in ("gptq", "learned"):
        found = _compensated(matrix, matrix.hessian)
        return found.solved, f"{name}: {found.reason}, so it is quantized by clip search" if found.reason else _few(
            matrix
        )
    return _clipped(matrix, matrix.hessian), _few(matrix)


def _nearest(matrix: Matrix) -> Solved:
    """The nearest codes on ranges of the least squared error of the weights."""
    from qtquant_app.quant.blocks.grids import searched
    from qtquant_app.quant.solvers.grid import Solved, encode, range_grid

    if matrix.scheme.layout is not None:
        return searched(matrix.weight, matrix.scheme.layout)
    grid = range_grid(matrix.weight, matrix.scheme, matrix.tensor.dtype)
    return Solved(encode(matrix.weight, grid), grid)


def _compensated(matrix: Matrix, hessian: Tensor) -> Found:
    """What GPTQ finds; under a layout, in the blocks that a search gives."""
    from qtquant_app.quant.blocks.grids import searched
    from qtquant_app.quant.solvers.gptq import enlarged, gptq, gptq_on

    if matrix.scheme.layout is None:
        return gptq(matrix.weight, hessian, matrix.scheme, matrix.tensor.dtype)
    start = searched(matrix.weight, matrix.scheme.layout, enlarged(hessian).diagonal())
    return gptq_on(matrix.weight, hessian, start)


def _clipped(matrix: Matrix, hessian: Tensor) -> Solved:
    """The nearest codes on ranges that are clipped by the output's error."""
    from qtquant_app.quant.blocks.grids import searched_for_outputs
    from qtquant_app.quant.solvers.awq import awq_ranges

    if matrix.scheme.layout is None:
        return awq_ranges(matrix.weight, hessian, matrix.scheme, matrix.tensor.dtype)
    return searched_for_outputs(matrix.weight, matrix.scheme.layout, hessian)


def _few(matrix: Matrix) -> str:
    columns = matrix.weight.shape[1]
    if matrix.tokens >= FEW * columns:
        return ""
    return (
        f"{matrix.tensor.name}: {matrix.tokens:,} tokens reached it, few for {columns:,} columns; more samples may help"
    )
