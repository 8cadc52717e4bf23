"""What the matrices of a block are given: one account for each input, however many matrices share it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.watch import Places, Product, Watch
from qtquant_app.quant.solvers.hessian import InputMoments

if TYPE_CHECKING:
    from torch import Tensor


class Inputs:
    """InputMoments of the inputs of the matrices `wanted`, summed over calls, by name.

    Matrices that are given the very same tensor, as queries, keys and values are, share their moments: they are summed once.
    """

    def __init__(self, wanted: Collection[str], rows: int = 0) -> None:
        self._wanted = wanted
        self._most_rows = rows
        self._rows: dict[str, list[Tensor]] = {}
        self._leader: dict[str, str] = {}
        self._moments: dict[str, InputMoments] = {}
        self._last: tuple[Tensor, str] | None = None

    @contextmanager
    def watching(self, net: Net, block: str) -> Iterator[None]:
        """Sums up whatever the matrices of the block, which is filled, are given in the context."""
        with Watch(Places(net, block, self._wanted), self._note):
            yield
        self._last = None

    def of(self, name: str) -> InputMoments | None:
        """None of a matrix that was given nothing, such as an expert that no token went to."""
        return self._moments.get(self._leader.get(name, name))

    def rows(self, name: str) -> Tensor | None:
        """Some of the inputs themselves, float32 [tokens, columns]: as many of each call as were asked for."""
        import torch

        found = self._rows.get(self._leader.get(name, name))
        return torch.cat(found) if found else None

    def together(self) -> Iterator[tuple[str, ...]]:
        """The names of those that share an input, in the order in which inputs were seen."""
        for leader in self._moments:
            yield tuple(name for name, own in self._leader.items() if own == leader)

    def _note(self, product: Product) -> None:
        names, given = product.names, product.inputs.detach()
        new = [name for name in names if name not in self._leader]
        if new:
            leader = self._shared(given) or new[0]
            self._leader |= dict.fromkeys(new, leader)
            if leader not in self._moments:
                self._moments[leader] = InputMoments(given.shape[-1], given.device)
        leader = self._leader[names[0]]
        if leader in names:
            self._add(leader, given.reshape(-1, given.shape[-1]))
            self._last = given, leader

    def _add(self, leader: str, rows: Tensor) -> None:
        self._moments[leader].add(rows)
        if self._most_rows:
            few = rows[:: -(-len(rows) // self._most_rows)].float()
            self._rows.setdefault(leader, []).append(few)

    def _shared(self, given: Tensor) -> str | None:
        """Whose input it is already, if it was noted right before."""
        if self._last is None:
            return None
        last, leader = self._last
        return leader if _same(last, given) else None


def _same(one: Any, other: Any) -> bool:
    """Whether two tensors are the same numbers in the same memory; one is held, so that its memory is not another's yet."""
    return bool(one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride())
