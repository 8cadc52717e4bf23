"""Where a weight's code and its block's scale lie in a tensor of a GGUF file, to the bit.

Layouts as in ggml-common.h. Blocks are shown as the bytes that they are. The scale is the half-precision number of the whole
block; what K-types multiply it by stands elsewhere in the block.
"""

from __future__ import annotations

from qtquant_app.core.layouts import Layout
from qtquant_app.core.placement import Placement, Slot

_Bit = tuple[int, int]
"""A byte of the block, and which bit of it."""


def placement(tensor: str, layout: Layout, row: int, column: int) -> Placement:
    """The places of the weight at `row`, `column` of `tensor`, as rows of bytes."""
    start, within = column // layout.block * layout.nbytes, column % layout.block
    code = _code(layout, within)
    scale = [(_SCALES.get(layout.name, 0) + byte, bit) for byte in range(2) for bit in range(8)]
    return Placement(_slot(tensor, row, start, code), _slot(tensor, row, start, scale), None)


_SCALES = {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208}
"""Where the scale begins, where not at the block's start."""


def _slot(tensor: str, row: int, start: int, bits: list[_Bit]) -> Slot:
    held = sorted({byte for byte, _ in bits})
    elements = tuple((row, start + byte) for byte in held)
    return Slot(tensor, "U8", elements, tuple((held.index(byte), bit) for byte, bit in bits))


def _code(layout: Layout, k: int) -> list[_Bit]:
    """The bits of the code of weight `k` of a block, the lowest first."""
    match layout.name:
        case "F16" | "BF16":
            return [(byte, bit) for byte in range(2) for bit in range(8)]
        case "Q8_0":
            return [(2 + k, bit) for bit in range(8)]
        case "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1":
            return _legacy(layout, k)
        case "Q2_K" | "Q3_K":
            return _quarters(layout.name, k)
        case "Q4_K" | "Q5_K":
            return _halves(layout.name, k)
    return _six(k)


def _legacy(layout: Layout, k: int) -> list[_Bit]:
    """Byte l has weights l and l + 16; a fifth bit stands in a word before them."""
    head = 2 if layout.symmetric else 4
    fifth = [(head + k // 8, k % 8)] if layout.bits == 5 else []
    return [(head + 4 * len(fifth) + k % 16, 4 * (k // 16) + bit) for bit in range(4)] + fifth


def _quarters(name: str, k: int) -> list[_Bit]:
    """Of each 128, byte l has weights l, l + 32, l + 64 and l + 96; Q3_K's third bits stand before them."""
    start = 16 if name == "Q2_K" else 32
    low = [(start + k // 128 * 32 + k % 32, k % 128 // 32 * 2 + bit) for bit in range(2)]
    return low if name == "Q2_K" else [*low, (k % 32, k // 32)]


def _halves(name: str, k: int) -> list[_Bit]:
    """Of each 64, byte l has weights l and l + 32; Q5_K's fifth bits stand before them."""
    start = 16 if name == "Q4_K" else 48
    low = [(start + k // 64 * 32 + k % 32, k % 64 // 32 * 4 + bit) for bit in range(4)]
    return low if name == "Q4_K" else [*low, (16 + k % 32, k // 32)]


def _six(k: int) -> list[_Bit]:
    """Of each 128, low halves: byte l has weights l and l + 64; high quarters: byte l has l, l + 32, l + 64 and l + 96."""
    half, rest = divmod(k, 128)
    low = [(half * 64 + rest % 64, rest // 64 * 4 + bit) for bit in range(4)]
    return low + [(128 + half * 32 + rest % 32, rest // 32 * 2 + bit) for bit in range(2)]
