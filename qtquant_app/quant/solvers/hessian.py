"""What calibration keeps of a layer's inputs: their second moments, and mean and largest size of each column.

The second moments are the Hessian of a linear layer's squared output error, up to a factor: an error E of the weight costs
tr(E H E^T) on average over the tokens, H being the mean of x x^T.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_AT_ONCE = 1 << 23
"""Numbers of a batch that are worked on at once."""

_BLOCK = 256
"""Columns of a square of the upper triangle."""

_PRECISION = threading.Lock()


class InputMoments:
    """Sums over the inputs of a linear layer with `columns` inputs, batch by batch.

    On a CPU each input is rounded to bfloat16, which what a bfloat16 model computes is already, and products are added up in
    float32: H is that of inputs within 2^-9 of the given ones, to about 2^-19 of the root of H_ii H_jj. Where the processor has
    instructions for bfloat16 that takes a third of the time of float32, half of that gained by leaving the lower triangle out. On
    other devices inputs are taken in float32. Holds 4 columns^2 bytes.
    """

    def __init__(self, columns: int, device: torch.device | str = "cpu") -> None:
        self.tokens = 0
        self._products = torch.zeros(columns, columns, device=device)
        self._sizes = torch.zeros(columns, dtype=torch.float64, device=device)
        self._largest = torch.zeros(columns, device=device)

    def add(self, inputs: Tensor) -> None:
        """Adds inputs [..., columns] of any float dtype. Raises ValueError where one of them is not finite."""
        columns = len(self._sizes)
        rows = inputs.detach().reshape(-1, columns)
        for part in torch.split(rows, max(1, _AT_ONCE // columns)):
            self._add(part)

    def _add(self, rows: Tensor) -> None:
        if not len(rows):
            return
        sizes = rows.abs()
        largest = sizes.amax(0).float()
        if not bool(largest.isfinite().all()):
            column = int((~largest.isfinite()).nonzero()[0])
            raise ValueError(f"an input of column {column} is not finite")
        self._largest = torch.maximum(self._largest, largest)
        self._sizes += sizes.sum(0, dtype=torch.float32).double()
        self.tokens += len(rows)
        if rows.device.type != "cpu":
            add_products(self._products, rows.float())
            return
        with _multiplied_in_bfloat16():
            add_products(self._products, rows.bfloat16().float())

    @property
    def hessian(self) -> Tensor:
        """The mean of x x^T over the tokens, float32 [columns, columns], symmetric; zero where there were none."""
        upper = self._products.triu()
        return (upper + upper.triu(1).T) / max(1, self.tokens)

    @property
    def mean_abs(self) -> Tensor:
        """The mean of |x| of each column, float32 [columns]."""
        return (self._sizes / max(1, self.tokens)).float()

    @property
    def max_abs(self) -> Tensor:
        """The largest |x| of each column, float32 [columns]."""
        return self._largest


def add_products(products: Tensor, rows: Tensor) -> None:
    """Adds rows^T rows to `products`, float32 [columns, columns], on and above the diagonal; below it, anything may stand."""
    columns = len(products)
    for first in range(0, columns, _BLOCK):
        last = min(first + _BLOCK, columns)
        products[first:last, first:].addmm_(rows[:, first:last].T, rows[:, first:])


@contextmanager
def _multiplied_in_bfloat16() -> Iterator[None]:
    """Lets torch multiply float32 matrices with bfloat16 instructions, sums in float32, where the processor has any.

    The setting is the process's: other threads had better not multiply float32 matrices meanwhile.
    """
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(settings, "fp32_precision"):
        yield
        return
    with _PRECISION:
        before = settings.fp32_precision
        settings.fp32_precision = "bf16"
        try:
            yield
        finally:
            settings.fp32_precision = before
