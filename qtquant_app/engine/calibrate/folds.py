"""Finds where factors can be folded: which tensors a column's factor can move to, so that the model says the same.

Nothing is known of architectures. The block is run on a small sample, and watched: where outputs of a norm or rows of a matrix
are multiplied with powers of two, which change no digit, the inputs of the matrices that can take them back are multiplied
likewise; and if these take them back, the block's output must be what it was, to the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.passage import Call
from qtquant_app.engine.walk.watch import Places, Product, Watch

if TYPE_CHECKING:
    import torch

_NEAR = 3
"""Products before a matrix whose own matrices may have made its input."""
_EXACT = 1e-3
"""Share of the norm by which what should be the same may differ: sums of numbers that were scaled round otherwise."""


@dataclass(frozen=True)
class Fold:
    """Columns of `consumers` may be multiplied with factors if the rows of `producer` are divided by them."""

    producer: tuple[str, ...]
    """The tensors whose rows are divided: a norm's weight and bias, or a matrix and its bias."""
    consumers: tuple[str, ...]
    rows: Tensor
    """The producer's row that each column comes from, int64 [columns]."""
    offset: float = 0.0
    """1 where the norm multiplies with 1 + weight."""


class FoldFinder:
    """Looks for the folds of one block, which is filled, on one call of it."""

    def __init__(self, net: Net, block: str, module: nn.Module, call: Call, matrices: Collection[str]) -> None:
        self._net = net
        self._block = block
        self._module = module
        self._call = call
        self._places = Places(net, block, matrices)
        self._products: list[Product] = []
        self._before, self._output = self._run(note=self._products.append)

    def found(self, wanted: Collection[str]) -> Iterator[Fold]:
        """The folds that one of the matrices `wanted` consumes; none shares a consumer with another."""
        taken: set[str] = set()
        for fold in (*self._of_norms(), *self._of_matrices(wanted)):
            if not taken.isdisjoint(fold.consumers) or set(wanted).isdisjoint(fold.consumers):
                continue
            taken |= set(fold.consumers)
            yield fold

    def _of_norms(self) -> Iterator[Fold]:
        for name, norm in self._norms():
            size = int(norm.get_parameter("weight").shape[0])
            factors = _powers(size, self._net.device)
            consumers = self._consumers(norm, factors)
            tensors = self._tensors(f"{name}.weight", f"{name}.bias")
            if consumers and tensors:
                yield Fold(
                    tensors, consumers, _identity(size, self._net.device), _offset(norm, self._call, self._module)
                )

    def _norms(self) -> Iterator[tuple[str, nn.Module]]:
        """Modules of the block that have a vector for a weight, by the names of the whole model."""
        for name, module in self._module.named_modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.dim() == 1 and not list(module.children()):
                yield f"{self._block}.{name}".strip("."), module

    def _consumers(self, norm: nn.Module, factors: Tensor) -> tuple[str, ...]:
        """The matrices that can take back `factors` on the outputs of `norm`; none where that changes what the block says."""
        found: list[str] = []
        while True:
            with self._times(norm, factors):
                given, output = self._run(swap=_divided(dict.fromkeys(found, factors)))
            more = [name for name, own in given.items() if name not in found and self._scaled(name, own, factors)]
            if not more:
                return tuple(found) if found and _alike(output, self._output) else ()
            found += more

    def _scaled(self, name: str, given: Tensor, factors: Tensor) -> bool:
        before = self._before.get(name)
        if before is None or before.shape != given.shape or before.shape[-1] != len(factors):
            return False
        return _alike(given, before * factors.to(before.dtype))

    @contextmanager
    def _times(self, module: nn.Module, factors: Tensor) -> Iterator[None]:
        def times(owner: nn.Module, given: object, output: Tensor) -> Tensor:
            return output * factors.to(output.dtype) if output.shape[-1] == len(factors) else output

        hook = module.register_forward_hook(times)
        try:
            yield
        finally:
            hook.remove()

    def _of_matrices(self, wanted: Collection[str]) -> Iterator[Fold]:
        for at, product in enumerate(self._products):
            for consumer in product.names:
                if consumer not in wanted:
                    continue
                near = [name for earlier in self._products[max(0, at - _NEAR) : at] for name in earlier.names]
                for producer in dict.fromkeys(reversed(near)):
                    fold = self._between(producer, consumer)
                    if fold is not None:
                        yield fold
                        break

    def _between(self, producer: str, consumer: str) -> Fold | None:
        rows, columns = self._net.checkpoint.by_name[producer].shape[0], self._before[consumer].shape[-1]
        tensors = self._tensors_of(producer)
        if producer == consumer or columns % rows or not tensors:
            return None
        came = self._rows_behind(producer, consumer, rows)
        if came is None:
            return None
        factors = _powers(rows, self._net.device)
        _, output = self._run(swap=_divided({consumer: factors[came]}), after=self._rows_times(producer, factors))
        return Fold(tensors, (consumer,), came) if _alike(output, self._output) else None

    def _rows_behind(self, producer: str, consumer: str, rows: int) -> Tensor | None:
        """The row of `producer` that each column of `consumer`'s input comes from and is proportional to; None where it is not so.

        First all rows are doubled, which must double the input; then each run doubles half of the rows, those whose number has a
        certain bit.
        """
        import torch

        if not self._follows(producer, consumer, rows):
            return None
        numbers = torch.arange(rows, device=self._net.device)
        came = torch.zeros(self._before[consumer].shape[-1], dtype=torch.long, device=self._net.device)
        for bit in range(max(1, (rows - 1).bit_length())):
            doubled = 1.0 + ((numbers >> bit) & 1).float()
            given, _ = self._run(after=self._rows_times(producer, doubled))
            if consumer not in given or given[consumer].shape != self._before[consumer].shape:
                return None
            before, now = self._before[consumer].float(), given[consumer].float()
            twice = (now - 2 * before).square().sum(0) < (now - before).square().sum(0)
            if not _alike(now, before * (1.0 + twice.float())):
                return None
            came |= twice.long() << bit
        return came if int(came.max()) < rows else None

    def _follows(self, producer: str, consumer: str, rows: int) -> bool:
        """Whether the input of `consumer` doubles where all that `producer` gives is doubled."""
        import torch

        given, _ = self._run(after=self._rows_times(producer, torch.full((rows,), 2.0, device=self._net.device)))
        return consumer in given and _alike(given[consumer], 2 * self._before[consumer])

    def _rows_times(self, name: str, factors: Tensor) -> Callable[[Product, Tensor], Tensor]:
        def after(product: Product, output: Tensor) -> Tensor:
            if name not in product.names:
                return output
            own = self._places.outputs(product, name)
            output = output.clone()
            output[..., own] *= factors.to(output.dtype)
            return output

        return after

    def _tensors(self, weight: str, bias: str) -> tuple[str, ...]:
        """The checkpoint's tensors behind two parameters; none where one is not a tensor of its own."""
        there = [key for key, _ in self._net.values(self._block) if key in (weight, bias)]
        fills = [self._net.fills.of(key) for key in there]
        names = [fill.plain for fill in fills if fill is not None and fill.plain is not None]
        return tuple(names) if len(names) == len(there) else ()

    def _tensors_of(self, matrix: str) -> tuple[str, ...]:
        """A matrix and its bias, as far as the checkpoint has one."""
        bias = matrix.removesuffix("weight") + "bias"
        return (matrix, bias) if bias in self._net.checkpoint.by_name else (matrix,)

    def _run(self, note: Any = None, swap: Any = None, after: Any = None) -> tuple[dict[str, Tensor], Tensor]:
        """What each matrix is given, tokens by columns, and what the block says."""
        import torch

        given: dict[str, Tensor] = {}

        def noted(product: Product) -> None:
            given.update(dict.fromkeys(product.names, product.inputs.reshape(-1, product.inputs.shape[-1])))
            if note is not None:
                note(product)

        with torch.no_grad(), Watch(self._places, noted, swap, after):
            output = self._call.run(self._module)
        return given, first_tensor(output).float()


def first_tensor(output: Any) -> Tensor:
    """The hidden state among what a block gives: the first tensor there is."""
    if isinstance(output, Tensor):
        return output
    values: Sequence[Any] = list(output.values()) if isinstance(output, Mapping) else list(output)
    return first_tensor(next(value for value in values if value is not None))


def _divided(columns: Mapping[str, Tensor]) -> Callable[[Product], tuple[Tensor, Tensor] | None]:
    """Takes factors back where a matrix is multiplied with: as if its columns were divided by them."""

    def swap(product: Product) -> tuple[Tensor, Tensor] | None:
        factors = next((columns[name] for name in product.names if name in columns), None)
        return None if factors is None else (product.inputs / factors.to(product.inputs.dtype), product.weight)

    return swap


def _powers(count: int, device: torch.device) -> Tensor:
    """Powers of two from 1/4 to 4, in no order: always the same."""
    import torch

    chance = torch.Generator().manual_seed(count)
    return torch.pow(2.0, torch.randint(-2, 3, (count,), generator=chance)).to(device)


def _identity(count: int, device: torch.device) -> Tensor:
    import torch

    return torch.arange(count, device=device)


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    distance = float((one.float() - other.float()).norm())
    return distance <= _EXACT * float(other.float().norm())


def _offset(norm: nn.Module, call: Call, module: nn.Module) -> float:
    """1 where `norm` multiplies with 1 + weight: where doubling that, not the weight, doubles what it gives."""
    import torch

    seen: list[tuple[Any, ...]] = []
    weight: Any = norm.weight
    with ExitStack() as stack, torch.no_grad():
        stack.callback(norm.register_forward_pre_hook(lambda owner, given: seen.append(given)).remove)
        call.run(module)
    kept = weight.detach().clone()
    bias = getattr(norm, "bias", None)
    shift = 0.0 if bias is None else bias.detach().float()
    with torch.no_grad():
        before = norm(*seen[0]).float() - shift
        weight.copy_(2 * kept)
        plain = norm(*seen[0]).float() - shift
        weight.copy_(kept)
    return 0.0 if _alike(plain, 2 * before) else 1.0
