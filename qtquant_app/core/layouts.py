"""Named block layouts: the GGUF types, in which a few weights share one block of bytes, and llama.cpp's mixtures of them.

Block sizes as in llama.cpp's ggml (ggml-common.h) and gguf-py (GGML_QUANT_SIZES).
"""

from __future__ import annotations

from dataclasses import dataclass

MIXTURE = "llama.cpp:"
"""Before the name of a mixture: `llama.cpp:Q4_K_M` gives each tensor the type that llama.cpp's own quantizer would."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One block type. `group` weights share a scale; `block` weights share `nbytes` bytes."""

    name: str
    bits: int
    symmetric: bool
    group: int
    block: int
    nbytes: int

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.nbytes / self.block

    def row_bytes(self, columns: int) -> int:
        """Bytes of a row. Raises ValueError where blocks do not fill it."""
        if columns % self.block:
            raise ValueError(f"{columns} columns are no multiple of the {self.block} weights of a {self.name} block")
        return columns // self.block * self.nbytes


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("F16", 16, True, 1, 1, 2),
        Layout("BF16", 16, True, 1, 1, 2),
        Layout("Q4_0", 4, True, 32, 32, 18),
        Layout("Q4_1", 4, False, 32, 32, 20),
        Layout("Q5_0", 5, True, 32, 32, 22),
        Layout("Q5_1", 5, False, 32, 32, 24),
        Layout("Q8_0", 8, True, 32, 32, 34),
        Layout("Q2_K", 2, False, 16, 256, 84),
        Layout("Q3_K", 3, True, 16, 256, 110),
        Layout("Q4_K", 4, False, 32, 256, 144),
        Layout("Q5_K", 5, False, 32, 256, 176),
        Layout("Q6_K", 6, True, 16, 256, 210),
    )
}
"""Every block type that a run writes, by name."""

MIXTURES = {
    "F16": "F16",
    "BF16": "BF16",
    "Q4_0": "Q4_0",
    "Q4_1": "Q4_1",
    "Q5_0": "Q5_0",
    "Q5_1": "Q5_1",
    "Q8_0": "Q8_0",
    "Q2_K": "Q2_K",
    "Q3_K_S": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K",
    "Q6_K": "Q6_K",
}
"""llama.cpp's mixtures, and the type that most of their tensors get."""


def names() -> tuple[str, ...]:
    """What a scheme's layout can be called."""
    return (*LAYOUTS, *(MIXTURE + name for name in MIXTURES))


def base(name: str) -> Layout:
    """The block type called `name`, or that most tensors of a mixture get. Raises KeyError where there is none."""
    return LAYOUTS[MIXTURES[name.removeprefix(MIXTURE)] if name.startswith(MIXTURE) else name]


def is_mixture(name: str | None) -> bool:
    """Whether `name` gives each tensor a type of its own."""
    return name is not None and name.startswith(MIXTURE)
