"""Rounds the inputs of layers whose scheme quantizes activations, token by token, as their kernels do.

A layer is known by the matrix that it multiplies with, so that experts in a stack and layers that a model merges are rounded too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from qtquant_app.engine.walk.net import Net
    from qtquant_app.engine.walk.watch import Product, Watch


class Rounding:
    """The matrices of `net` whose inputs are rounded, by `schemes`."""

    def __init__(self, net: Net, schemes: Mapping[str, Scheme]) -> None:
        self._net = net
        self._schemes = schemes
        self._seen: set[str] = set()

    @property
    def words(self) -> str:
        """`int8`, `fp8`, or both."""
        return ", ".join(sorted({scheme.activations for scheme in self._schemes.values()}))

    def watch(self, block: str) -> Watch:
        """Rounds while it is entered, in a block that is filled."""
        from qtquant_app.engine.walk.watch import Places, Watch

        return Watch(Places(self._net, block, list(self._schemes)), swap=self._swapped)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Rounds in all blocks, which are filled, whenever they are called."""
        blocks = self._net.blocks
        for name, module in blocks.items():
            module.forward = _watched(module.forward, self.watch(name))
        try:
            yield
        finally:
            for module in blocks.values():
                module.__dict__.pop("forward", None)

    def check(self) -> None:
        """Raises EvaluateError where a layer was run in a way that could not be seen, experts aside that no token went to."""
        blocks = [set(self._net.matrices(block)) & set(self._schemes) for block in self._net.blocks]
        for names in blocks:
            if names and names.isdisjoint(self._seen):
                raise EvaluateError(
                    f"the inputs of {min(names)} cannot be rounded to 8 bits as its scheme says: transformers multiplies otherwise",
                    hint="evaluate it in vLLM, or quantize weights alone",
                    code="activations",
                )

    def _swapped(self, product: Product) -> tuple[Tensor, Tensor] | None:
        schemes = {self._schemes[name].activations: self._schemes[name] for name in product.names}
        self._seen.update(product.names)
        (scheme, *_) = schemes.values()
        return rounded(product.inputs, scheme), product.weight


def _watched(forward: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def run(*arguments: Any, **named: Any) -> Any:
        with watch:
            return forward(*arguments, **named)

    return run


def rounded(inputs: Tensor, scheme: Scheme) -> Tensor:
    """Inputs [..., columns] of a layer as its kernel sees them: each row rounded to int8 or FP8 E4M3 with a scale of its own; where
    weights lie in square blocks, each so many columns of a row."""
    if scheme.activations == "int8":
        from qtquant_app.engine.runtime.int8 import quantize_tokens

        codes, scale = quantize_tokens(inputs.reshape(-1, inputs.shape[-1]))
        return (codes.float() * scale).to(inputs.dtype).reshape(inputs.shape)
    from qtquant_app.engine.runtime.fp8 import rounded_tokens

    return rounded_tokens(inputs, scheme.group_size)
