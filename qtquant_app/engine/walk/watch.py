"""Tells which matrix of a checkpoint a product multiplies with, while a block runs, and what with.

A linear layer is known by the memory of its weight, so that it does not matter which module multiplies, nor whether the matrix
is a parameter of its own or a slice of a stack of experts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from qtquant_app.engine.walk.net import Net


@dataclass(frozen=True, slots=True)
class Product:
    """A product that is about to be made: the names of the matrices in it, its inputs, and the memory that is multiplied with."""

    names: tuple[str, ...]
    inputs: Tensor
    weight: Tensor
    turned: bool
    """Whether the weight is [columns, rows]."""


Note = Callable[[Product], None]

Swap = Callable[[Product], "tuple[Tensor, Tensor] | None"]
"""May give other inputs and another weight to multiply."""

After = Callable[[Product, Tensor], Tensor]
"""Is given the output too, and gives what is to be taken instead."""


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
        if self._marks[address] is None:
            return (self._owner[address],)
        region = weight.storage_offset(), *weight.shape, *weight.stride()
        if (address, *region) not in self._known:
            found: Any = self._region(weight)
            self._known[address, *region] = tuple(self._wanted[at] for at in found.unique().tolist() if at >= 0)
        return self._known[address, *region]

    def outputs(self, product: Product, name: str) -> Tensor | slice:
        """Which outputs of `product` the rows of the matrix `name` give, in order."""
        if len(product.names) == 1:
            return slice(None)
        region = self._region(product.weight)
        owners = region[0] if product.turned else region[:, 0]
        return (owners == self._wanted.index(name)).nonzero()[:, 0].to(product.weight.device)

    def _region(self, weight: Tensor) -> Tensor:
        """Which matrix each number of `weight` belongs to, as it is laid out."""
        marks = self._marks[weight.untyped_storage().data_ptr()]
        assert marks is not None
        return marks.as_strided(weight.shape, weight.stride(), weight.storage_offset())


def _numbered(net: Net, number: Mapping[str, int]) -> Callable[[str], Tensor]:
    import torch

    def read(name: str) -> Tensor:
        return torch.full(net.checkpoint.by_name[name].shape, number.get(name, -1), dtype=torch.int32)

    return read


class Watch(TorchFunctionMode):
    """While it is entered: tells `note` of every product with a matrix of `places`, makes it of what `swap` gives, and gives back
    what `after` says."""

    def __init__(
        self, places: Places, note: Note | None = None, swap: Swap | None = None, after: After | None = None
    ) -> None:
        super().__init__()
        self._places = places
        self._note = note
        self._swap = swap
        self._after = after

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        at = _POSITIONS.get(func)
        if at is None or kwargs or len(args) <= at:
            return func(*args, **(kwargs or {}))
        inputs, weight = args[at - 1], args[at]
        if weight.dim() == 3 and inputs.dim() == 3:
            self._each(inputs, weight)
        elif (product := product_of(self._places, func, args)) is not None:
            return self._made(func, args, at, product)
        return func(*args)

    def _made(self, func: Any, args: tuple[Any, ...], at: int, product: Product) -> Any:
        if self._note is not None:
            self._note(product)
        if self._swap is not None and (others := self._swap(product)) is not None:
            args = (*args[: at - 1], *others, *args[at + 1 :])
        output = func(*args)
        return output if self._after is None else self._after(product, output)

    def _each(self, inputs: Tensor, weight: Tensor) -> None:
        """A batch of products, one for each expert."""
        if self._note is None or not self._places.names(weight):
            return
        for own, matrix in zip(inputs, weight, strict=True):
            if names := self._places.names(matrix):
                self._note(Product(names, own, matrix, turned=True))


def product_of(places: Places, func: Any, args: Sequence[Any]) -> Product | None:
    """The product with a matrix of `places` that func(*args) is going to be; None where it is none, or a batch of them."""
    at = _POSITIONS.get(func)
    if at is None or len(args) <= at or args[at].dim() == 3 == args[at - 1].dim():
        return None
    names = places.names(args[at])
    return Product(names, args[at - 1], args[at], func not in _WEIGHT_BY_ROWS) if names else None


_WEIGHT_BY_ROWS = frozenset([functional.linear])
"""Functions whose weight is [rows, columns]; that of all others is [columns, rows]."""


def _positions() -> dict[Any, int]:
    """Where each function that multiplies takes its weight; what it multiplies with stands right before."""
    import torch

    second = (
        functional.linear,
        torch.matmul,
        Tensor.matmul,
        Tensor.__matmul__,
        torch.mm,
        Tensor.mm,
        torch.bmm,
        Tensor.bmm,
    )
    return dict.fromkeys(second, 1) | dict.fromkeys((torch.addmm, Tensor.addmm), 2)


_POSITIONS = _positions()
