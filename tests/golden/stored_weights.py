"""Random codes of one weight, what a format stores for them, and bit by bit what a stream of words holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.plan import Role
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import Format
from qtquant_app.formats.base import Parameters
from qtquant_app.quant.kernels.packing import pack

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_ARRAYS = {"I32": "<u4", "U32": "<u4", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Stored:
    """Random codes, scales and zero points (or offsets) of a weight, and the arrays that `format` stores, by last name."""

    def __init__(self, format: Format, shape: tuple[int, int], scheme: Scheme, dtype: str = "BF16") -> None:
        rows, columns = shape
        random = np.random.default_rng(rows * columns + scheme.bits)
        groups = rows, scheme.groups(columns)
        self.scheme, self.format = scheme, format
        self.tensor = TensorInfo("m.weight", dtype, shape, "f", 0, 0)
        self.codes = random.integers(0, scheme.levels, shape, dtype=np.uint8)
        self.scale = torch.from_numpy(random.uniform(0.001, 0.01, groups)).to(DTYPES[dtype])
        self.offset = torch.from_numpy(random.uniform(-0.02, 0.01, groups)).to(DTYPES[dtype])
        self.zero = random.integers(0, scheme.levels, groups, dtype=np.uint8)
        if scheme.symmetric:
            self.zero[:] = scheme.levels // 2
        given = _raw(self.offset) if scheme.offset == "float" else self.zero
        self.parameters = Parameters(_raw(self.scale), None if scheme.symmetric else given)
        self.encoded: dict[Role, Any] = dict(format.encode_parameters(self.tensor, scheme, self.parameters))
        self.encoded["codes"] = format.encode_codes(pack(self.codes, scheme.bits, format.align), scheme)
        self.arrays = {
            part.name.removeprefix("m."): np.ascontiguousarray(self.encoded[part.role])
            .reshape(-1)
            .view(_ARRAYS[part.dtype])
            .reshape(part.shape)
            for part in format.stored(self.tensor, scheme)
        }

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """A number for each group [rows, groups] as one for each weight."""
        columns = self.codes.shape[1]
        return np.repeat(values, self.scheme.group_size or columns, axis=1)

    def floats(self, name: str) -> NDArray[np.float32]:
        """A stored array of floats in float32."""
        array = self.arrays[name]
        return as_float32(array) if array.dtype == np.uint16 else array.astype(np.float32)


def as_float32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16 bits as the float32 that they are."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def stream(words: NDArray[np.uint32], bits: int, count: int) -> NDArray[np.int64]:
    """The first `count` numbers of `bits` bits in words [..., n], the lowest bits of the lowest word first."""
    whole = [sum(int(word) << 32 * at for at, word in enumerate(row)) for row in words.reshape(-1, words.shape[-1])]
    numbers = [[line >> bits * k & (1 << bits) - 1 for k in range(count)] for line in whole]
    return np.array(numbers, np.int64).reshape(*words.shape[:-1], count)


def _raw(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.view(torch.int16).numpy().view(np.uint16) if tensor.dtype == torch.bfloat16 else tensor.numpy()
