"""What GPTQ and AWQ have in common: matrices stored as [in, out], and one scheme, or nearly one, for all layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.base import Bytes


def turned(elements: NDArray[Any]) -> Bytes:
    """Elements [rows, n] as the bytes of [n, rows]: [n, bytes that the rows take]."""
    return np.ascontiguousarray(elements.T).view(np.uint8)


def unturned(stored: Bytes, dtype: np.dtype[Any], lines: int) -> NDArray[Any]:
    """The inverse of `turned`, from bytes in any shape: [rows, lines]."""
    return np.ascontiguousarray(stored.reshape(-1).view(dtype).reshape(lines, -1).T)


def refuse_mixture(
    checkpoint: Checkpoint, schemes: Sequence[Scheme | None], of: Callable[[Scheme], Hashable], rule: str
) -> None:
    """Raises PlanError where `of` tells the schemes of two tensors apart that one config has to serve; `rule` says what it can."""
    first: dict[Hashable, tuple[str, str]] = {}
    known: dict[int, Hashable] = {}
    for tensor, scheme in zip(checkpoint.tensors, schemes, strict=True):
        if scheme is None:
            continue
        if id(scheme) not in known:
            known[id(scheme)] = of(scheme)
        first.setdefault(known[id(scheme)], (tensor.name, scheme.label))
        if len(first) > 1:
            (one, label), (other, other_label), *_ = first.values()
            raise PlanError(
                f"{one} would be {label} and {other} {other_label}, but {rule}",
                hint="give all of them one scheme, or use --format compressed-tensors",
                code="mixture",
            )
