"""Runs both models on the same batches: each whole in memory, or block by block side by side, with one block of each in memory.

Either way only one batch's outputs are there at a time: both models end with a batch before the next one's outputs are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qtquant_app.engine.evaluation.sides import Pair, Side
from qtquant_app.engine.walk.walk import Chain, Inputs, Visit, Walk

if TYPE_CHECKING:
    from qtquant_app.engine.walk.passage import Passage


@dataclass(frozen=True, slots=True)
class Said:
    """What both models give for one batch."""

    inputs: Inputs
    base: Mapping[str, Any]
    own: Mapping[str, Any]


class Runs(Protocol):
    """A way to run the two models."""

    def both(self, batches: Sequence[Inputs]) -> Iterator[tuple[float, Said | None]]:
        """Runs both; step by step how much is done, 0.0 to 1.0, and what was said of a batch that is through."""

    def outputs(self, side: Side, batches: Sequence[Inputs]) -> list[Any]:
        """What one of them gives for each batch."""


@contextmanager
def whole(pair: Pair) -> Iterator[Runs]:
    """Both in memory until the context ends."""
    with ExitStack() as stack:
        for side in (pair.base, pair.own):
            stack.callback(side.net.release)
            side.net.begin()
            for block in side.net.blocks:
                stack.enter_context(side.net.filled(block))
            if side.rounding is not None:
                stack.enter_context(side.rounding.everywhere())
        yield _Whole(pair)


class _Whole:
    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def both(self, batches: Sequence[Inputs]) -> Iterator[tuple[float, Said | None]]:
        for done, batch in enumerate(batches, 1):
            (base,) = self.outputs(self._pair.base, [batch])
            (own,) = self.outputs(self._pair.own, [batch])
            yield done / len(batches), Said(batch, base, own)

    def outputs(self, side: Side, batches: Sequence[Inputs]) -> list[Any]:
        import torch

        with torch.no_grad():
            return [side.net.model(**batch) for batch in batches]


class Streamed:
    """One block of each in memory at a time. What is held besides are the batches between two blocks."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def both(self, batches: Sequence[Inputs]) -> Iterator[tuple[float, Said | None]]:
        base, own = self._pair.base, self._pair.own
        total, done = len(base.net.blocks) * len(batches), 0
        with Walk([Chain(base.net, batches), Chain(own.net, batches)]) as walk:
            for visit in walk.visits():
                with base.net.filled(visit.block) as module, own.net.filled(visit.block) as other:
                    watch = _watch(own, visit.block)
                    for first, second in zip(*visit.waiting, strict=True):
                        visit.run_one(module, first)
                        with watch:
                            visit.run_one(other, second)
                        done += 1
                        yield min(1.0, done / total), _said(first, second)

    def outputs(self, side: Side, batches: Sequence[Inputs]) -> list[Any]:
        with Walk([Chain(side.net, batches)]) as walk:
            for visit in walk.visits():
                with side.net.filled(visit.block) as module, _watch(side, visit.block):
                    _run(visit, module)
            return walk.outputs()


def _run(visit: Visit, module: Any) -> None:
    for _ in visit.run(module):
        pass


def _watch(side: Side, block: str) -> Any:
    return nullcontext() if side.rounding is None else side.rounding.watch(block)


def _said(first: Passage, second: Passage) -> Said | None:
    """Both outputs, where the two are through; they are then let go."""
    if first.call is not None or second.call is not None:
        return None
    return Said(first.inputs, first.take(), second.take())
