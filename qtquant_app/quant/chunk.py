"""What a backend takes and gives: one chunk of rows of a weight matrix, as numpy arrays. Needs numpy only.

A float matrix travels as `raw`: [rows, cols], C-contiguous, in the array type of its dtype tag (`RAW_TYPES`): bfloat16
has no numpy type, so its bits travel as uint16. Scales are stored in the weight's own dtype and travel the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS, Layout
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import floats

Raw = NDArray[Any]
"""A float matrix as its dtype's array type: float32, float16, or uint16 for the bits of bfloat16."""

RAW_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""The array type of each dtype tag that a backend takes."""


class NonFinite(ValueError):  # noqa: N818
    """A weight is NaN or infinite: the first such position, row-major, within the chunk."""

    def __init__(self, row: int, column: int, value: float) -> None:
        super().__init__(f"row {row}, column {column} of the chunk is {value}")
        self.row = row
        self.column = column
        self.value = value


class ScaleOverflow(ValueError):  # noqa: N818
    """A scale does not fit the dtype it is stored in; `row` counts within the chunk."""

    def __init__(self, row: int) -> None:
        super().__init__(f"the scale of row {row} of the chunk overflows its dtype")
        self.row = row


class RestoredOverflow(ValueError):  # noqa: N818
    """A weight's code stands for a number beyond the dtype of the weight; `row` counts within the chunk."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} of the chunk would come back with an infinity in it")
        self.row = row


@dataclass(frozen=True)
class RowErrors:
    """Sums over each row of a chunk, e = w - dequantized(w); they do not depend on how rows are cut into chunks."""

    square_error: NDArray[np.float64]
    """Sum of e^2, [rows]."""
    square_weight: NDArray[np.float64]
    """Sum of w^2, [rows]."""
    square_dequantized: NDArray[np.float64]
    """Sum of dequantized(w)^2, [rows]."""
    max_error: NDArray[np.float32]
    """Largest |e|, [rows]."""
    repaired: int = 0
    """How many of the weights were not finite in the source, and were replaced."""

    def sums(self, columns: int) -> ErrorSums:
        """The sums over all rows, exactly rounded, so that their order does not matter."""
        return ErrorSums(
            weights=len(self.max_error) * columns,
            square_error=_total(self.square_error),
            square_weight=_total(self.square_weight),
            square_dequantized=_total(self.square_dequantized),
            max_error=float(self.max_error.max(initial=0)),
            repaired=self.repaired,
        )

    @staticmethod
    def concat(parts: Sequence[RowErrors]) -> RowErrors:
        """The rows of all parts, one after the other."""
        if not parts:
            none = np.zeros(0)
            return RowErrors(none, none, none, none.astype(np.float32))
        return RowErrors(
            np.concatenate([part.square_error for part in parts]),
            np.concatenate([part.square_weight for part in parts]),
            np.concatenate([part.square_dequantized for part in parts]),
            np.concatenate([part.max_error for part in parts]),
            sum(part.repaired for part in parts),
        )


def relative(error: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """||e|| / ||w|| from the sums of e^2 and w^2 of the same parts; 0 where there is neither."""
    safe = np.where(weight > 0, weight, 1.0)
    ratio: NDArray[np.float32] = np.sqrt(np.where(weight > 0, error / safe, 0.0)).astype(np.float32)
    return ratio


def _total(values: NDArray[np.float64]) -> float:
    try:
        return fsum(values.tolist())
    except OverflowError:
        return float("inf")


@dataclass(frozen=True)
class QuantizedChunk:
    """One chunk of rows, quantized: codes as bytes, the parameters that give them meaning, and what it cost."""

    packed: NDArray[np.uint8]
    """Each row's codes as a dense little-endian bit stream, [rows, row_bytes]; bits past the last code are zero. Or the blocks of a
    layout, which hold their scales: `scale` is then empty, [rows, 0], and `zero` None."""
    scale: Raw
    """Scales in the weight's own dtype, [rows, groups]; [1, 1] where one scale serves the whole tensor. Square blocks have a row of
    scales for each `row_block` rows; those of NVFP4 and MXFP4 are uint8 codes of E4M3 and E8M0."""
    zero: NDArray[Any] | None
    """Zero points uint8, or float offsets as raw as `scale`; shaped as that. None where symmetric (each is then 2^(bits-1))."""
    errors: RowErrors
    whole: NDArray[np.float32] | None = None
    """What all scales are divided by, float32 [1, 1]; NVFP4 alone has it."""


@dataclass(frozen=True)
class Fixed:
    """Parameters found beforehand, for a scheme that `needs_extremes`: scale raw [1, 1], zero point [1, 1] or None; and NVFP4's
    divisor, float32 [1, 1], beside whose scales `scale` means nothing."""

    scale: Raw
    zero: NDArray[np.uint8] | None
    whole: NDArray[np.float32] | None = None


class Backend(Protocol):
    """Quantizes chunks. All backends give the same codes, scales and zero points, bit for bit."""

    name: str

    def quantize(
        self,
        raw: Raw,
        dtype: str,
        scheme: Scheme,
        align: int,
        fixed: Fixed | None = None,
        importance: NDArray[np.float32] | None = None,
    ) -> QuantizedChunk:
        """Quantizes raw [rows, cols]; a row's bytes are padded with zeros to a multiple of `align`; blocks never are.

        Squared errors weigh as much as the `importance` [cols] of their column, where one is given, under a layout and wherever the
        range of an integer scheme is searched for; where no column of a group has any, they weigh alike.

        Where a scheme `needs_extremes`, what comes of them is `fixed`, or comes from this chunk where that is None. Under square
        blocks a chunk begins where a block does.
        Raises NonFinite and ScaleOverflow.
        """

    def extremes(self, raw: Raw, dtype: str) -> tuple[float, float]:
        """The smallest and largest weight of a chunk. Raises NonFinite."""

    def fix(self, lo: float, hi: float, dtype: str, scheme: Scheme) -> Fixed:
        """One scale and zero point for weights from `lo` to `hi`. Raises ScaleOverflow for row 0."""

    def compare(self, raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
        """The errors of `chunk`, decoded from its bytes, against the source. Raises NonFinite."""

    def dequantize(self, chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
        """The weights that the bytes of `chunk` stand for, float32 [rows, columns]."""


_BEYOND = {"F32": 2.0**128, "F16": 65520.0, "BF16": 2.0**128 - 2.0**119}
"""The least number that each dtype rounds to infinity; a number that float32 itself rounds there is beyond them all."""


def refuse_infinite(backend: Backend, chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> None:
    """Raises RestoredOverflow for the first row of which a weight comes back as an infinity: a symmetric scheme's lowest code
    stands for more than the largest weight. Looks closely only at rows whose sum of squares leaves room for one."""
    limit = _BEYOND[dtype]
    for row in np.flatnonzero(chunk.errors.square_dequantized >= limit * limit).tolist():
        one = rows_of(chunk, np.array([row]), scheme)
        if float(np.abs(backend.dequantize(one, dtype, scheme, columns)).max()) >= limit:
            raise RestoredOverflow(row)


def rows_of(chunk: QuantizedChunk, rows: NDArray[Any], scheme: Scheme) -> QuantizedChunk:
    """Some rows of a chunk, in the order given, as a chunk of their own; each brings its scales with it."""
    scale, zero = chunk.scale, chunk.zero
    if scheme.strategy != "tensor":
        block = scheme.row_block if len(scale) != len(chunk.packed) else 1
        scale, zero = scale[rows // block], None if zero is None else zero[rows]
    known = chunk.errors
    if len(known.max_error):
        sums = known.square_error[rows], known.square_weight[rows], known.square_dequantized[rows]
        known = RowErrors(*sums, known.max_error[rows])
    return QuantizedChunk(chunk.packed[rows], scale, zero, known, chunk.whole)


def row_bytes(columns: int, bits: int, align: int) -> int:
    """Bytes of one packed row: ceil(columns * bits / 8), rounded up to a multiple of `align`."""
    whole = (columns * bits + 7) // 8
    return -(-whole // align) * align


def checked(raw: Raw, dtype: str) -> Raw:
    """`raw` itself, if it is a C-contiguous matrix of `dtype`'s array type; raises ValueError otherwise."""
    if dtype not in RAW_TYPES:
        raise ValueError(f"{dtype} is not one of {', '.join(RAW_TYPES)}")
    if raw.ndim != 2 or not raw.shape[1] or raw.dtype != RAW_TYPES[dtype] or not raw.flags.c_contiguous:
        raise ValueError(f"{dtype} needs a C-contiguous {RAW_TYPES[dtype]} matrix, not {raw.dtype} {raw.shape}")
    return raw


def checked_chunk(
    chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int, expected_rows: int | None = None
) -> QuantizedChunk:
    """`chunk` itself, if its arrays hold rows of `columns` codes and their parameters; raises ValueError otherwise.

    Kernels follow these shapes without looking.
    """
    rows, width = chunk.packed.shape
    if rows != (rows if expected_rows is None else expected_rows):
        raise ValueError(f"{rows} quantized rows are compared with {expected_rows}")
    if scheme.layout is not None:
        _check_blocks(chunk, scheme.layout, columns)
        return chunk
    if width < row_bytes(columns, scheme.bits, 1):
        raise ValueError(f"{width} bytes a row do not hold {columns} codes of {scheme.bits} bits")
    if floats.is_float(scheme):
        floats.check_scales(chunk, dtype, scheme, columns)
        return chunk
    shape = (1, 1) if scheme.strategy == "tensor" else (rows, scheme.groups(columns))
    if chunk.scale.shape != shape or chunk.scale.dtype != RAW_TYPES[dtype]:
        raise ValueError(f"scales are {chunk.scale.dtype} {chunk.scale.shape}, not {dtype} {shape}")
    if (chunk.zero is None) != scheme.symmetric or (chunk.zero is not None and chunk.zero.shape != shape):
        raise ValueError(f"zero points do not go with {scheme.label} and {shape} groups")
    if chunk.zero is not None and chunk.zero.dtype != (RAW_TYPES[dtype] if scheme.offset == "float" else np.uint8):
        raise ValueError(f"zero points of {chunk.zero.dtype} do not go with {scheme.label}")
    return chunk


def _check_blocks(chunk: QuantizedChunk, layout: str, columns: int) -> None:
    rows, width = chunk.packed.shape
    whole = layout_named(layout).row_bytes(columns)
    if width != whole or chunk.packed.dtype != np.uint8:
        raise ValueError(f"{columns} columns are {whole} bytes of {layout}, not {width} of {chunk.packed.dtype}")
    if chunk.scale.shape != (rows, 0) or chunk.zero is not None:
        raise ValueError(f"{layout} keeps its scales in its blocks, and others were given")


def layout_named(name: str) -> Layout:
    """The block type `name`; raises ValueError for a mixture, which is one type for each tensor."""
    if name not in LAYOUTS:
        raise ValueError(f"{name} is no type of blocks")
    return LAYOUTS[name]


def of_blocks(packed: NDArray[np.uint8], dtype: str, errors: RowErrors) -> QuantizedChunk:
    """Rows of blocks as a chunk: their scales are within."""
    return QuantizedChunk(packed, np.empty((len(packed), 0), RAW_TYPES[dtype]), None, errors)


def bits_of(raw: Raw) -> NDArray[Any]:
    """The bits of a float matrix, uint16 or uint32 of the same shape; a view."""
    return raw.view(np.uint32 if raw.dtype.itemsize == 4 else np.uint16)


def as_float32(raw: Raw, dtype: str) -> NDArray[np.float32]:
    """`raw` as float32 of the same shape; exact for every dtype."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.astype(np.float32)


def repaired(raw: Raw, dtype: str) -> tuple[Raw, int]:
    """A copy of `raw` in which every weight is finite, and how many were not.

    What is not a number becomes 0; an infinity becomes the largest finite weight of its row, minus infinity the smallest,
    and 0 where the row has none. A row is mended from itself alone, so that chunks cannot matter.
    """
    raw, count = raw.copy(), 0
    for row in range(len(raw)):
        values = as_float32(raw[row], dtype)
        finite = np.isfinite(values)
        if finite.all():
            continue
        count += int(np.count_nonzero(~finite))
        there = np.flatnonzero(finite)
        zero = raw.dtype.type(0)
        raw[row][np.isposinf(values)] = raw[row][there[values[there].argmax()]] if len(there) else zero
        raw[row][np.isneginf(values)] = raw[row][there[values[there].argmin()]] if len(there) else zero
        raw[row][np.isnan(values)] = zero
    return raw, count


def first_non_finite(raw: Raw, dtype: str, row: int = 0) -> NonFinite:
    """The error that names the first NaN or infinity in `raw` at or after `row`; there must be one."""
    for index in range(row, len(raw)):
        values = as_float32(raw[index], dtype)
        where = np.flatnonzero(~np.isfinite(values))
        if len(where):
            return NonFinite(index, int(where[0]), float(values[where[0]]))
    raise ValueError("every weight is finite")
