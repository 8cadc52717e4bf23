"""The factors that are folded: found by a method, and moved into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qtquant_app.core.folding import Folding
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.folds import Fold
from qtquant_app.engine.calibrate.inputs import Inputs
from qtquant_app.engine.calibrate.rounding import Matrix
from qtquant_app.engine.folded import with_columns, with_rows

if TYPE_CHECKING:
    from torch import Tensor


def foldings_of(fold: Fold, factors: Tensor, foldings: dict[str, Folding]) -> None:
    """Multiplies the consumers' columns with `factors`, float32 [columns], and divides the producer's rows by them."""
    import torch

    columns = factors.cpu().numpy()
    for name in fold.consumers:
        foldings[name] = with_columns(foldings.get(name, Folding()), columns)
    rows = torch.ones(int(fold.rows.max()) + 1, device=factors.device)
    rows[fold.rows] = 1 / factors
    for name in fold.producer:
        foldings[name] = with_rows(foldings.get(name, Folding()), rows.cpu().numpy(), _offset(fold, name))


def _offset(fold: Fold, name: str) -> float:
    return fold.offset if name == fold.producer[0] else 0.0


def factors_for(fold: Fold, matrices: Sequence[Matrix], inputs: Inputs) -> Tensor | None:
    """Factors for the columns of `matrices`, the consumers that are quantized, float32 [columns]; None where none help.

    Columns that come from one row get the same factor. Where the consumers are given different inputs, as experts are, those of
    the one that most tokens came to count for all.
    """
    import torch

    seen = [name for name in fold.consumers if inputs.of(name) is not None]
    if not seen or not matrices:
        return None
    name = max(seen, key=lambda name: _tokens(inputs, name))
    folding = next((matrix.folding for matrix in matrices if matrix.folding), "")
    factors = _found(folding, fold, matrices, inputs, name)
    return None if torch.equal(factors, torch.ones_like(factors)) else factors


def _tokens(inputs: Inputs, name: str) -> int:
    moments = inputs.of(name)
    return 0 if moments is None else moments.tokens


def _found(folding: str, fold: Fold, matrices: Sequence[Matrix], inputs: Inputs, name: str) -> Tensor:
    from qtquant_app.quant.solvers.awq import awq_factors
    from qtquant_app.quant.solvers.smoothquant import smooth_factors

    moments, sample = inputs.of(name), inputs.rows(name)
    assert moments is not None
    weights, schemes = [matrix.weight for matrix in matrices], [_integers(matrix.scheme) for matrix in matrices]
    dtype = matrices[0].tensor.dtype
    if folding == "smoothquant":
        assert sample is not None
        return smooth_factors(weights, schemes, dtype, moments.max_abs, sample, fold.rows)
    return awq_factors(weights, schemes, dtype, moments.hessian, moments.mean_abs, fold.rows)


def _integers(scheme: Scheme) -> Scheme:
    """The scheme whose codes are most like those of a layout: as many bits, as many columns a scale."""
    return replace(scheme, layout=None)
