"""What a layout of quantized weights does: tell its own tensors from others, and decode rows of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Note, Packed
from qtquant_app.engine.packed.modules import Module, Told

if TYPE_CHECKING:
    from qtquant_app.engine.reader import RangeReader

Floats = NDArray[np.float32]
Decode = Callable[[int, int], Floats]
"""Rows a to b, counted from the first row that was loaded, as float32 [b - a, columns]; the caller may keep them."""

_REGISTRY: dict[str, Layout] = {}


class Layout(ABC):
    """One way in which quantized weights lie in files. Subclassing it with a `name` registers it."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            _REGISTRY[cls.name] = cls()

    @abstractmethod
    def weight(self, module: Module, told: Told) -> TensorInfo | None:
        """The float weight that the stored tensors of `module` stand for; None where they are no such layout.

        `parts` of its `packed` name every tensor that it takes the place of. Decided from names, dtypes and shapes.
        """

    @abstractmethod
    def load(self, reader: RangeReader, packed: Packed, columns: int, start: int, stop: int) -> Decode:
        """Reads all that rows `start` to `stop` need, no more than a few times their own bytes.

        What is read lies in this thread's buffers, so the decoder is used up before the next is loaded.
        """

    def examine(self, reader: RangeReader, packed: Packed, columns: int) -> Iterator[Note]:
        """What the small stored tensors say that they should not: zero points, orders. Reads them."""
        yield from ()

    def order(self, reader: RangeReader, packed: Packed) -> NDArray[np.int64] | None:
        """The columns in the order in which groups count them; None where it is their own."""
        return None


def layouts() -> tuple[Layout, ...]:
    """All there are, those with the most telling names first."""
    from qtquant_app.engine.packed import (  # noqa: F401
        awq,
        bitsandbytes,
        compressed_tensors,
        fp4,
        fp4_experts,
        gptq,
        mlx,
        plain,
        scaled,
    )

    return tuple(_REGISTRY.values())


def layout_of(packed: Packed) -> Layout:
    """The layout that decodes `packed`."""
    if packed.layout not in _REGISTRY:
        layouts()
    return _REGISTRY[packed.layout]
