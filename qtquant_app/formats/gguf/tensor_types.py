"""The types a tensor of a GGUF file can have: their numbers, and how many weights a block of so many bytes holds.

Q8_1 and Q8_K are not among them: llama.cpp makes them of activations as it computes, and writes them into no file.
Source: ggml's enum ggml_type and block structures, as of llama.cpp in 2026.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple


class TensorType(NamedTuple):
    """One type: `bytes` bytes hold `weights` weights that follow each other in a row."""

    name: str
    number: int
    weights: int
    bytes: int

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a tensor of `shape`, rows last. Raises ValueError where rows are no whole number of blocks."""
        width = shape[-1] if shape else 1
        if width % self.weights:
            raise ValueError(f"rows of {width} weights are no whole blocks of {self.weights}, as {self.name} has them")
        return prod(shape) // self.weights * self.bytes


_TYPES = (
    TensorType("F32", 0, 1, 4),
    TensorType("F16", 1, 1, 2),
    TensorType("Q4_0", 2, 32, 18),
    TensorType("Q4_1", 3, 32, 20),
    TensorType("Q5_0", 6, 32, 22),
    TensorType("Q5_1", 7, 32, 24),
    TensorType("Q8_0", 8, 32, 34),
    TensorType("Q2_K", 10, 256, 84),
    TensorType("Q3_K", 11, 256, 110),
    TensorType("Q4_K", 12, 256, 144),
    TensorType("Q5_K", 13, 256, 176),
    TensorType("Q6_K", 14, 256, 210),
    TensorType("IQ2_XXS", 16, 256, 66),
    TensorType("IQ2_XS", 17, 256, 74),
    TensorType("IQ3_XXS", 18, 256, 98),
    TensorType("IQ1_S", 19, 256, 50),
    TensorType("IQ4_NL", 20, 32, 18),
    TensorType("IQ3_S", 21, 256, 110),
    TensorType("IQ2_S", 22, 256, 82),
    TensorType("IQ4_XS", 23, 256, 136),
    TensorType("I8", 24, 1, 1),
    TensorType("I16", 25, 1, 2),
    TensorType("I32", 26, 1, 4),
    TensorType("I64", 27, 1, 8),
    TensorType("F64", 28, 1, 8),
    TensorType("IQ1_M", 29, 256, 56),
    TensorType("BF16", 30, 1, 2),
    TensorType("TQ1_0", 34, 256, 54),
    TensorType("TQ2_0", 35, 256, 66),
    TensorType("MXFP4", 39, 32, 17),
    TensorType("NVFP4", 40, 64, 36),
    TensorType("Q1_0", 41, 128, 18),
)

BY_NAME = {entry.name: entry for entry in _TYPES}
BY_NUMBER = {entry.number: entry for entry in _TYPES}
