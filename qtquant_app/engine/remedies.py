"""What would help a tensor, or the part of it that is worst: each remedy measured on the weights themselves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Literal

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.events import Event, RunStarted, StageChanged
from qtquant_app.core.matrix import Matrix
from qtquant_app.core.matrix import find as find_matrix
from qtquant_app.core.remedy import CLIP, Alternative, Remedy, alternatives, combinations, gain
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.engine.as_written import as_written
from qtquant_app.engine.device import resolve
from qtquant_app.engine.holder import holder, stored_bytes
from qtquant_app.engine.measure import bytes_read, checked_place, whole_and_part
from qtquant_app.engine.tools import open_tools
from qtquant_app.formats import Format
from qtquant_app.formats import find as find_format
from qtquant_app.quant import methods

_CARRIED = "a run leaves this tensor as it is"
_COMBINATIONS = 2
"""At most so many are tried once the single ones are known."""

_Sums = tuple[ErrorSums, ErrorSums]
"""Of the whole tensor, and of the part."""


def remedies(
    checkpoint: Checkpoint,
    layer: str,
    scheme: Scheme,
    place: Place | None = None,
    *,
    format: str = "",
    device: str = "auto",
) -> Generator[Event, None, tuple[Remedy, ...]]:
    """What each step away from `scheme` costs the tensor `layer` in bytes, and gains it, or its part `place`, in dB.

    The first is `scheme` itself, the last to keep the tensor; `format` says what the bytes are, and another answers
    where it cannot hold one. Raises UsageError where there is no such tensor or place, PlanError where it has no weights,
    SourceError where one is not finite.
    """
    tensor = find_matrix(checkpoint, layer)
    place = checked_place(tensor, place)
    scheme = as_written(checkpoint, tensor, scheme, format)
    method, wanted = methods.check(scheme), find_format(format or "compressed-tensors")
    clips = () if method.start == CLIP else methods.find(CLIP).strategies
    steps = alternatives(scheme, tensor.columns, wanted.bits, clips)
    steps = tuple(step for step in steps if _holds(tensor, step.scheme, wanted))
    size = stored_bytes(tensor, scheme, wanted.name)
    single = sum(bytes_read(tensor, tried) for tried in (scheme, *(step.scheme for step in steps)))
    yield RunStarted(1, single + _COMBINATIONS * tensor.nbytes)
    with open_tools(checkpoint, wanted, resolve(device)) as tools:
        yield StageChanged("quantize")
        before = yield from whole_and_part(tools, tensor, scheme, place)
        sums: dict[Alternative, _Sums] = {}
        for step in steps:
            sums[step] = yield from whole_and_part(tools, tensor, step.scheme, place)
        for both in _pairs(scheme, sums, before[1], lambda other: stored_bytes(tensor, other, wanted.name) - size):
            if not _holds(tensor, both.scheme, wanted):
                continue
            sums[both] = yield from whole_and_part(tools, tensor, both.scheme, place)
    found = [_remedy(tensor, wanted, scheme.label, scheme, before, before, size)]
    found += [_remedy(tensor, wanted, a.title, a.scheme, s, before, size) for a, s in sums.items()]
    return (*found, _kept(tensor, before, size))


def _pairs(
    scheme: Scheme, sums: dict[Alternative, _Sums], before: ErrorSums, more: Callable[[Scheme], int]
) -> tuple[Alternative, ...]:
    """The two that help most, and the two that help most for what they cost, each taken together."""
    gains = {step: gain(part, before) for step, (_, part) in sums.items()}
    helpful = [step for step in gains if gains[step] > 0]
    by_gain = sorted(helpful, key=lambda step: -gains[step])
    by_price = sorted(by_gain, key=lambda step: max(0, more(step.scheme)) / gains[step])
    return combinations(scheme, by_gain, by_price)


def _holds(tensor: Matrix, scheme: Scheme, wanted: Format) -> bool:
    """Whether any format can hold `tensor` under `scheme`."""
    try:
        holder(tensor, scheme, wanted.name)
    except PlanError:
        return False
    return True


def _remedy(
    tensor: Matrix, wanted: Format, title: str, scheme: Scheme, sums: _Sums, before: _Sums, size: int
) -> Remedy:
    nbytes, refusal = stored_bytes(tensor, scheme, wanted.name), wanted.refuses(tensor, scheme)
    reason = _CARRIED if tensor.carried else f"{wanted.name}: {refusal}" if refusal else ""
    return Remedy(title, scheme, nbytes, nbytes - size, sums[1], gain(sums[1], before[1]), sums[0], reason)


def _kept(tensor: Matrix, before: _Sums, size: int) -> Remedy:
    whole, part = (ErrorSums(s.weights, 0.0, s.square_weight, s.square_weight, 0.0) for s in before)
    keep: Literal["keep"] = "keep"
    reason = _CARRIED if tensor.carried else ""
    return Remedy("keep it", keep, tensor.nbytes, tensor.nbytes - size, part, gain(part, before[1]), whole, reason)
