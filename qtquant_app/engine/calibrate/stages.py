"""A block whose matrices are solved while the samples are on their way through it: each sample runs through it once.

All samples wait where the first matrix is multiplied; it is solved by what they bring, put in its place rounded, and they go on to
the next. So a matrix is also given what came out of the rounded ones before it in the same block.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from qtquant_app.engine.calibrate.arithmetic import computing
from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.passage import Call, Passage, unstopped
from qtquant_app.engine.walk.watch import Places, Product, Watch, product_of
from qtquant_app.quant.solvers.hessian import InputMoments


@dataclass(frozen=True, slots=True)
class Stage:
    """Matrices that are multiplied with one input, in order: samples wait at the first."""

    products: tuple[Product, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(product.names[0] for product in self.products)


class OtherOrderError(Exception):
    """A sample goes another way through the block than the first one did."""


def stages_of(net: Net, block: str, module: nn.Module, call: Call, wanted: Sequence[str]) -> list[Stage]:
    """The stages of a filled block as `call` goes through it; none where its matrices cannot be told apart that way: one is
    multiplied twice or not at all, or is a part of what is multiplied."""
    seen: list[Product] = []
    with torch.no_grad(), computing(net.device), Watch(Places(net, block, wanted), seen.append):
        call.run(module)
    names = [name for product in seen for name in product.names]
    if sorted(names) != sorted(wanted) or any(len(product.names) > 1 for product in seen):
        return []
    stages: list[list[Product]] = []
    for product in seen:
        if stages and _same(stages[-1][-1].inputs, product.inputs):
            stages[-1].append(product)
        else:
            stages.append([product])
    return [Stage(tuple(found)) for found in stages]


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors, both held, are the same numbers in the same memory."""
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()


class Staged:
    """Calls of a filled block on their way through its stages. Use it as a context; `to` each stage in order, then `out`.

    Each call has a thread in which the block's code runs; what it computes is computed by whoever drives it, so that threads hold
    no memory of their own for that.
    """

    def __init__(self, net: Net, block: str, module: nn.Module, calls: Sequence[Call], stages: Sequence[Stage]) -> None:
        self._net, self._module = net, module
        self._places = Places(net, block, [stage.names[0] for stage in stages])
        self._passages = [self._passage(call) for call in calls]
        self._begun = False

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *exception: object) -> None:
        for passage in self._passages:
            passage.close()

    def to(self, stage: Stage) -> Generator[float, None, InputMoments]:
        """Brings all calls to `stage`; yields the share that is there. Raises OtherOrderError."""
        moments = InputMoments(stage.products[0].inputs.shape[-1], self._net.device)
        for done, passage in enumerate(self._passages, 1):
            product = self._advance(passage)
            if product is None or product.names[0] != stage.names[0]:
                raise OtherOrderError
            moments.add(product.inputs)
            yield done / len(self._passages)
        self._begun = True
        return moments

    def out(self, keep: Callable[[Any], Any]) -> Generator[float, None, list[Any]]:
        """Brings all calls to the end of the block: what `keep` makes of each output. Raises OtherOrderError."""
        outputs = []
        for done, passage in enumerate(self._passages, 1):
            if self._advance(passage) is not None:
                raise OtherOrderError
            outputs.append(keep(passage.take()))
            yield done / len(self._passages)
        return outputs

    def _passage(self, call: Call) -> Passage:
        def run() -> Any:
            with unstopped(), computing(self._net.device), _HandedOver(passage):
                return call.run(self._module)

        passage = Passage(run, {})
        return passage

    def _advance(self, passage: Passage) -> Product | None:
        """Runs a call up to the next product at which samples wait; None where it is through."""
        asked = passage.call if self._begun else passage.go()
        first = self._begun  # what it waits at since the stage before
        with torch.no_grad(), computing(self._net.device):
            while asked is not None:
                func, args = asked.arguments
                product = None if first or asked.named else product_of(self._places, func, args)
                if product is not None:
                    return product
                first = False
                asked = passage.answer(func(*args, **asked.named))
        return None


class _HandedOver(TorchFunctionMode):
    """Has whoever drives a passage compute what its thread asks for."""

    def __init__(self, passage: Passage) -> None:
        super().__init__()
        self._passage = passage

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _AT_ONCE or name.startswith(_OF_THE_THREAD):
            return func(*args, **(kwargs or {}))
        return self._passage.hand_over(name, func, args, **(kwargs or {}))


_AT_ONCE = frozenset({"__get__", "size", "dim", "view", "transpose", "unsqueeze", "expand", "__getitem__", "numel"})
"""Functions that compute nothing worth handing over."""

_OF_THE_THREAD = "is_", "_is_", "get_autocast", "set_autocast", "_set_grad", "autocast_"
"""Beginnings of the names of functions that ask or say how this thread computes."""


def put(product: Product, weight: Tensor) -> None:
    """Writes `weight` [rows, columns] where the product's own stands."""
    with torch.no_grad():
        product.weight.copy_(weight.T if product.turned else weight)
