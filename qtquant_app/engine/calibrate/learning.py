"""Learned rounding of a block, whatever way its matrices are stored: those of experts stand in stacks."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from qtquant_app.engine.calibrate.lengths import epochs
from qtquant_app.engine.calibrate.rounding import Matrix
from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.passage import Call
from qtquant_app.engine.walk.watch import Places, Product, Watch
from qtquant_app.quant.solvers.grid import Solved
from qtquant_app.quant.solvers.learned import Layer, Settings, learn


class WithOthers(nn.Module):
    """A block that is run with the weights of `layers` in place of its own, by the names of the checkpoint's matrices."""

    def __init__(self, block: nn.Module, places: Places, layers: Mapping[str, nn.Linear]) -> None:
        super().__init__()
        self.block = block
        self._places = places
        self._layers = dict(layers)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        with Watch(self._places, swap=self._swapped):
            return self.block(*arguments, **named)

    def _swapped(self, product: Product) -> tuple[Tensor, Tensor] | None:
        names = [name for name in product.names if name in self._layers]
        if not names:
            return None
        if len(product.names) == 1:
            weight: Tensor = self._layers[names[0]].weight
            return product.inputs, weight.T if product.turned else weight
        own = product.weight.T if product.turned else product.weight
        whole = own.to(self._layers[names[0]].weight.dtype)
        for name in names:
            whole = whole.index_copy(0, _rows(self._places, product, name), self._layers[name].weight)
        return product.inputs, whole.T if product.turned else whole


def _rows(places: Places, product: Product, name: str) -> Tensor:
    rows = places.outputs(product, name)
    assert isinstance(rows, Tensor)
    return rows


class _Calls:
    """The calls of a block and what the float block gives, as the learner takes them."""

    def __init__(self, calls: Sequence[Call], targets: Sequence[Tensor]) -> None:
        self._calls, self._targets = calls, targets

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, index: int, /) -> tuple[tuple[Any, ...], dict[str, Any]]:
        call = self._calls[index]
        return call.arguments, dict(call.named)

    def target(self, index: int) -> Tensor:
        return self._targets[index]


def learned(
    net: Net,
    block: str,
    module: nn.Module,
    matrices: Mapping[str, Matrix],
    starts: Mapping[str, Solved],
    calls: Sequence[Call],
    targets: Sequence[Tensor],
    seed: int,
) -> Generator[float, None, dict[str, Solved]]:
    """The codes of `matrices`, by name, learned from `starts` so that the block gives `targets`, call by call.

    Yields how much is done, 0.0 to 1.0. The block is filled with what all other tensors of it will be.
    """
    layers = {
        name: Layer(_layer(matrix.weight), matrix.tensor.dtype, starts[name]) for name, matrix in matrices.items()
    }
    linears = {name: layer.linear for name, layer in layers.items()}
    trial = WithOthers(module, Places(net, block, list(linears)), linears)
    steps = learn(trial, layers, _Calls(calls, targets), settings_for(matrices, len(calls)), seed)
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                found: dict[str, Solved] = end.value
                return found
            yield step.done / step.total
    finally:
        steps.close()


def _layer(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer


def settings_for(matrices: Mapping[str, Matrix], calls: int) -> Settings:
    """How long is learned from so many calls."""
    return Settings(epochs=epochs(min(matrix.scheme.bits for matrix in matrices.values()), calls))
