"""SmoothQuant: what is large in the inputs of a layer moves into its weights, so that both fit 8 bits.

Xiao et al., "SmoothQuant: Accurate and efficient post-training quantization for large language models" (2023):
W' = W diag(f), x' = x / f, f_j = max|x_j|^a / max|w_j|^(1 - a). The paper gives one a to a model; here a sample of inputs finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import float_torch
from qtquant_app.quant.solvers.grid import Solved, encode, range_grid, refuse_non_finite, restored

_POWERS = tuple(step / 20 for step in range(2, 20))

_LARGEST = {"int8": 127.0, "fp8": 448.0}
"""What the largest input of a token becomes."""


def smooth_factors(
    weights: Sequence[Tensor],
    schemes: Sequence[Scheme],
    dtype: str,
    max_abs: Tensor,
    sample: Tensor,
    tied: Tensor | None = None,
) -> Tensor:
    """Factors float32 [columns] for the columns of all `weights`, float32 [rows, columns], that take the same inputs.

    `max_abs` float32 [columns] is the largest size of each column of the inputs, `sample` [tokens, columns] some of them. The
    factors are those of the power a with which the outputs of all weights together differ least on the sample, weights quantized
    as their scheme says and inputs to 8 bits, token by token; or 1, where that is best. Columns of the same number in `tied`,
    int64 [columns], get the same factor. Raises NonFinite for a weight or an input, and ScaleOverflow.
    """
    for values in (*weights, sample):
        refuse_non_finite(values)
    inputs = _alike(max_abs, tied)
    sizes = _alike(torch.stack([weight.abs().amax(0) for weight in weights]).amax(0), tied)
    candidates = [torch.ones_like(inputs), *(_candidate(inputs, sizes, power) for power in _POWERS)]
    wanted = [sample.float() @ weight.T for weight in weights]

    def cost(factors: Tensor) -> float:
        total = 0.0
        for weight, scheme, output in zip(weights, schemes, wanted, strict=True):
            total += float((product(sample, weight, scheme, dtype, factors) - output).square().sum(dtype=torch.float64))
        return total

    return min(candidates, key=cost)


def product(sample: Tensor, weight: Tensor, scheme: Scheme, dtype: str, factors: Tensor) -> Tensor:
    """x W^T with W diag(f) and x / f quantized as `scheme` says, float32 [tokens, rows]."""
    return by_token(sample.float() / factors, scheme.activations) @ rounded(weight * factors, scheme, dtype).T


def by_token(inputs: Tensor, activations: str) -> Tensor:
    """What is left of float32 inputs [tokens, columns] after 8 bits with a scale for each token; themselves for "none"."""
    if activations == "none":
        return inputs
    scale = inputs.abs().amax(-1, keepdim=True) / _LARGEST[activations]
    steps = inputs / torch.where(scale > 0, scale, 1.0)
    if activations == "fp8":
        return steps.to(torch.float8_e4m3fn).float() * scale
    return steps.round() * scale


def rounded(weight: Tensor, scheme: Scheme, dtype: str) -> Tensor:
    """What is left of float32 weight [rows, columns] after round-to-nearest, float32."""
    if scheme.type == "int":
        grid = range_grid(weight, scheme, dtype, factors=[1.0])
        return restored(Solved(encode(weight, grid), grid))
    plain, given = replace(scheme, method="rtn"), None
    if scheme.strategy == "tensor":
        low, high = weight.aminmax()
        given = float_torch.fix(float(low), float(high), dtype, plain)[0]
        given = None if given is None else given.to(weight.device)
    return float_torch.quantize(weight, dtype, plain, given, torch.ones((), device=weight.device))[2]


def _candidate(inputs: Tensor, sizes: Tensor, power: float) -> Tensor:
    """Columns that neither an input nor a weight uses keep the factor 1."""
    found = inputs.pow(power) / sizes.pow(1 - power)
    return torch.where((inputs > 0) & (sizes > 0), found, 1.0).clamp(1e-4, 1e4)


def _alike(values: Tensor, tied: Tensor | None) -> Tensor:
    """The largest of the columns that are tied, at each of them."""
    if tied is None:
        return values
    room = torch.zeros(int(tied.max()) + 1, device=values.device)
    return room.scatter_reduce(0, tied, values, "amax")[tied]
