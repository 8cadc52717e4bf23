"""What a tensor gets in a format where a scheme is asked for: what is looked at has to be what a run would write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.layouts import base, is_mixture
from qtquant_app.core.matrix import Matrix
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import Format, find


@dataclass(frozen=True, slots=True)
class _Answer:
    """What each tensor of a checkpoint gets where `asked` is asked for all of them."""

    checkpoint: Checkpoint
    bound: Format
    asked: Scheme
    given: Mapping[str, Scheme | None]


_lock = Lock()
_last: list[_Answer] = []
"""The newest one, if any: one scheme is asked for while many tensors are looked at, and binding a format takes a while."""


def as_written(checkpoint: Checkpoint, matrix: Matrix, scheme: Scheme, format: str = "") -> Scheme:
    """The scheme that `matrix`, a tensor of `checkpoint` or a slice of one, gets in `format` where `scheme` is asked for.

    A mixture always becomes a block type: where the format gives the tensor none, that of most of its tensors.
    """
    found = _adapted(checkpoint, scheme, format).get(matrix.source or matrix.name) if format else None
    if found is None and is_mixture(scheme.layout):
        layout = base(scheme.layout or "")
        whole = matrix.columns % layout.block == 0
        return Scheme.of_layout(layout.name if whole else "F16", scheme.method if whole else "rtn")
    return found or scheme


def _adapted(checkpoint: Checkpoint, scheme: Scheme, format: str) -> Mapping[str, Scheme | None]:
    """By tensor, for all that can be quantized; empty where the format has every scheme as it is, or cannot hold the model."""
    if type(find(format)).adapted is Format.adapted:
        return {}
    with _lock:
        last = _last[0] if _last and _last[0].checkpoint is checkpoint and _last[0].bound.name == format else None
    if last is not None and last.asked == scheme:
        return last.given
    schemes = [scheme if tensor.quantizable else None for tensor in checkpoint.tensors]
    try:
        bound = find(format).bound(checkpoint) if last is None else last.bound
        given = bound.adapted(checkpoint, schemes, [False] * len(schemes))
    except PlanError:  # which a plan will say; there is something to look at all the same
        return {}
    newest = _Answer(checkpoint, bound, scheme, dict(zip((t.name for t in checkpoint.tensors), given, strict=True)))
    with _lock:
        _last[:] = [newest]
    return newest.given
