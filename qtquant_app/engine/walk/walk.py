"""Takes batches through a model together, block after block: all wait at a block, are run through it, and go on to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.passage import Call, Passage, Stops

if TYPE_CHECKING:
    from torch import nn

Inputs = Mapping[str, Any]
"""What a model's forward is called with, by name."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A net, and the batches that go through it."""

    net: Net
    batches: Sequence[Inputs]


@dataclass(frozen=True)
class Visit:
    """Batches wait at a block. Answer each of them, in any order, and no other."""

    block: str
    waiting: Sequence[Sequence[Passage]]
    """Those of each chain."""

    def calls(self, chain: int = 0) -> list[Call]:
        """What the block is called with, batch by batch."""
        return [passage.call for passage in self.waiting[chain] if passage.call is not None]

    def answer(self, chain: int, outputs: Sequence[Any]) -> None:
        """Lets the batches of a chain go on, each with what the block gave for it."""
        for passage, output in zip(tuple(self.waiting[chain]), outputs, strict=True):
            passage.answer(output)

    def run(self, module: nn.Module, chain: int = 0) -> Iterator[int]:
        """Runs the batches of a chain through `module` and lets them go on; says after each how many are through."""
        for at, passage in enumerate(self.waiting[chain], 1):
            self.run_one(module, passage)
            yield at

    @staticmethod
    def run_one(module: nn.Module, passage: Passage) -> Any:
        """Runs one batch through `module` and lets it go on; gives what came out of the block."""
        import torch

        assert passage.call is not None
        with torch.no_grad():
            output = passage.call.run(module)
        passage.answer(output)
        return output


class Walk:
    """All chains through their nets, as a context: `visits` gives block after block. Outputs are in `outputs` at the end.

    A model that calls its blocks in another order for some batches is followed: those that wait at one block are visited together.
    """

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._nets = {id(chain.net): chain.net for chain in chains}
        self._stops = [Stops(net.blocks) for net in self._nets.values()]
        self._passages = [[Passage(chain.net.model, batch) for batch in chain.batches] for chain in chains]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for passages in self._passages:
            for passage in passages:
                passage.close()
        for stops in self._stops:
            stops.remove()
        for net in self._nets.values():
            net.release()

    def visits(self) -> Iterator[Visit]:
        """Every block at which batches wait, in the order in which the first batch comes to them."""
        for net in self._nets.values():
            net.begin()
        for passages in self._passages:
            for passage in passages:
                passage.go()
        while block := self._next():
            for net in self._nets.values():
                net.release(everything=False)
            at = block[0]
            yield Visit(
                at, [[p for p in chain if p.call is not None and p.call.block == at] for chain in self._passages]
            )

    def _next(self) -> tuple[str] | None:
        """The block where the first of the batches that still wait does; in a tuple, since a model may be one block called ""."""
        for passages in self._passages:
            for passage in passages:
                if passage.call is not None:
                    return (passage.call.block,)
        return None

    def outputs(self, chain: int = 0) -> list[Any]:
        """What the model gave for each batch that is through."""
        return [passage.output for passage in self._passages[chain]]
