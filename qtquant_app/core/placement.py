"""Where a weight's numbers lie in the tensors of a file, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qtquant_app.core.dtypes import ITEM_BITS


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one number in a stored tensor."""

    tensor: str
    dtype: str
    elements: tuple[tuple[int, ...], ...]
    """The indices of the elements that hold it: one, or two where it straddles them."""
    bits: tuple[tuple[int, int], ...]
    """(which of `elements`, which bit of it) for each bit of the number, the lowest first; bit 0 is the lowest."""
    less: int = 0
    """What was taken away before storing: the bits hold the number less this, in two's complement."""
    along: int | None = -1
    """Which part of an element's index counts along the row that the code is of; None where an element holds one code of a row."""

    @property
    def element_bits(self) -> int:
        """Bits of an element."""
        return ITEM_BITS[self.dtype]

    def read(self, patterns: Sequence[int]) -> int:
        """The number, out of the bits of its elements, each as a whole number that is not negative."""
        held = sum((patterns[element] >> bit & 1) << k for k, (element, bit) in enumerate(self.bits))
        return (held + self.less) % (1 << len(self.bits))

    def span(self, element: int) -> tuple[int, int]:
        """(lowest, highest) bit that the number has in one of its elements."""
        bits = [bit for which, bit in self.bits if which == element]
        return min(bits), max(bits)

    @property
    def text(self) -> str:
        """`weight_packed[3, 7], I32, bits 12 to 15`."""
        short, parts = self.tensor.rpartition(".")[2], []
        for number, index in enumerate(self.elements):
            low, high = self.span(number)
            where = "" if high - low + 1 == self.element_bits else f", bit{_range(low, high)}"
            parts.append(f"{short}[{', '.join(map(str, index))}], {self.dtype}{where}")
        return " and ".join(parts)

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        del values["along"]
        return {**values, "element_bits": self.element_bits}


def _range(low: int, high: int) -> str:
    return f" {low}" if low == high else f"s {low} to {high}"


@dataclass(frozen=True, slots=True)
class Placement:
    """The places of a weight's code, of its scale, and of its zero point where one is stored."""

    code: Slot
    scale: Slot
    zero: Slot | None

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code.to_json(),
            "scale": self.scale.to_json(),
            "zero": None if self.zero is None else self.zero.to_json(),
        }
