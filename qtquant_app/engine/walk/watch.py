"""Tells which matrix of a checkpoint a product multiplies with, while a block runs, and what with.

A linear layer is known by the memory of its weight, so that it does not matter which module multiplies, nor whether the matrix
is a parameter of its own or a slice of a stack of experts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from qtquant_app.engine.walk.net import Net

Note = Callable[[tuple[str, ...], Tensor], None]
"""Is given the names of the matrices that a product takes, and its inputs [tokens, columns]."""

Swap = Callable[[tuple[str, ...], Tensor], "Tensor | None"]
"""Is given the names and the matrix itself, and may give another to multiply with."""


class Places:
    """Where the matrices `wanted` lie in the memory of a block that is filled."""

    def __init__(self, net: Net, block: str, wanted: Collection[str]) -> None:
        self._wanted = list(wanted)
        self._marks: dict[int, Tensor | None] = {}
        """By address: which matrix each number of a parameter belongs to; None where all belong to one."""
        self._owner: dict[int, str] = {}
        self._known: dict[tuple[Any, ...], tuple[str, ...]] = {}
        number = {name: at for at, name in enumerate(self._wanted)}
        made: dict[str, Tensor] = {}
        for key, value in net.values(block):
            fill = net.fills.of(key)
            if fill is None or number.keys().isdisjoint(fill.names()):
                continue
            address = value.untyped_storage().data_ptr()
            if fill.plain is not None:
                self._owner[address], self._marks[address] = fill.plain, None
                continue
            if fill.key not in made:
                made |= fill.made(_numbered(net, number), net.model)
            self._marks[address] = made[net.fills.source_key(key)].contiguous()

    def names(self, weight: Tensor) -> tuple[str, ...]:
        """The matrices that `weight`, a parameter or a part of one, is made of, in the order in which they were wanted."""
        address = weight.untyped_storage().data_ptr()
        if address not in self._marks:
            return ()
        marks = self._marks[address]
        if marks is None:
            return (self._owner[address],)
        region = weight.storage_offset(), *weight.shape, *weight.stride()
        if (address, *region) not in self._known:
            there: Any = marks.as_strided(weight.shape, weight.stride(), weight.storage_offset())
            self._known[address, *region] = tuple(self._wanted[at] for at in there.unique().tolist() if at >= 0)
        return self._known[address, *region]


def _numbered(net: Net, number: Mapping[str, int]) -> Callable[[str], Tensor]:
    import torch

    def read(name: str) -> Tensor:
        return torch.full(net.checkpoint.by_name[name].shape, number.get(name, -1), dtype=torch.int32)

    return read


class Watch(TorchFunctionMode):
    """While it is entered: tells `note` of every product with a matrix of `places`, and multiplies with what `swap` gives."""

    def __init__(self, places: Places, note: Note | None = None, swap: Swap | None = None) -> None:
        super().__init__()
        self._places = places
        self._note = note
        self._swap = swap

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        at = _POSITIONS.get(func)
        if at is None or kwargs or len(args) <= at:
            return func(*args, **(kwargs or {}))
        inputs, weight = args[at - 1], args[at]
        if weight.dim() == 3 and inputs.dim() == 3:
            self._each(inputs, weight)
        elif names := self._places.names(weight):
            if self._note is not None:
                self._note(names, inputs.reshape(-1, inputs.shape[-1]))
            if self._swap is not None and (other := self._swap(names, weight)) is not None:
                args = (*args[:at], other, *args[at + 1 :])
        return func(*args)

    def _each(self, inputs: Tensor, weight: Tensor) -> None:
        """A batch of products, one for each expert."""
        if self._note is None or not self._places.names(weight):
            return
        for own, matrix in zip(inputs, weight, strict=True):
            if names := self._places.names(matrix):
                self._note(names, own)


def _positions() -> dict[Any, int]:
    """Where each function that multiplies takes its weight; what it multiplies with stands right before."""
    import torch

    first = (
        functional.linear,
        torch.matmul,
        Tensor.matmul,
        Tensor.__matmul__,
        torch.mm,
        Tensor.mm,
        torch.bmm,
        Tensor.bmm,
    )
    return dict.fromkeys(first, 1) | dict.fromkeys((torch.addmm, Tensor.addmm), 2)


_POSITIONS = _positions()
