"""How far two models' logits lie apart, over the tokens of one text."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.runtime_report import LogitDifference

Logits = NDArray[np.float32]


def logit_difference(ours: Logits, theirs: Logits) -> LogitDifference:
    """The differences of `theirs` from `ours`, both [tokens, vocabulary] float32.

    Each token's logits are taken less their mean, for a constant added to all of them changes no prediction. A token at a time,
    in float64. Infinite or NaN where `theirs` are.
    """
    rows = [_row(own, other) for own, other in zip(ours, theirs, strict=True)]
    apart, own, kl, same = np.array(rows).T
    return LogitDifference(
        relative=sqrt(apart.sum()) / (sqrt(own.sum()) or 1.0),
        relative_worst=float(np.sqrt(apart / np.where(own == 0, 1.0, own)).max()),
        kl=float(kl.mean()),
        kl_worst=float(kl.max()),
        top1_agreement=float(same.mean()),
    )


def _row(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[float, float, float, bool]:
    """Squared difference, squared size, KL divergence, and whether the likeliest token is the same."""
    own, other = (row.astype(np.float64) - row.mean(dtype=np.float64) for row in (ours, theirs))
    logs, other_logs = own - _log_sum(own), other - _log_sum(other)
    kl = float((np.exp(logs) * (logs - other_logs)).sum())
    return float(((own - other) ** 2).sum()), float((own**2).sum()), kl, bool(own.argmax() == other.argmax())


def _log_sum(row: NDArray[np.float64]) -> float:
    top = row.max()
    return float(top + np.log(np.exp(row - top).sum()))
