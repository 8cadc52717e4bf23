"""One weight, explained: what the backend that a run uses makes of it, and the arithmetic in between."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.bits import Number
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.dtypes import ITEM_BITS, QUANTIZABLE
from qtquant_app.core.errors import UsageError
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.explanation import Case, Explanation, Fitted, why_unexplained
from qtquant_app.core.matrix import Matrix, find, item_bytes
from qtquant_app.core.placement import Slot
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.engine.as_written import as_written
from qtquant_app.engine.device import resolve
from qtquant_app.engine.holder import holder
from qtquant_app.engine.measure import checked_place
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.tensor_work import extremes as all_extremes
from qtquant_app.engine.tensor_work import fixed_for, located
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats.base import Bytes
from qtquant_app.quant.chunk import RAW_TYPES, Fixed, QuantizedChunk, Raw, as_float32, bits_of
from qtquant_app.quant.kernels.affine import parameters
from qtquant_app.quant.kernels.half_quadratic import WORK, refine_zero
from qtquant_app.quant.kernels.lanes import LANES
from qtquant_app.quant.kernels.source import KINDS, loaded, stored
from qtquant_app.quant.methods import check as check_method
from qtquant_app.quant.methods import find as find_method
from qtquant_app.quant.stored import number

Extremes = tuple[float, float]


def explain(
    checkpoint: Checkpoint,
    layer: str,
    scheme: Scheme,
    rows: tuple[int, int],
    columns: tuple[int, int],
    *,
    format: str = "",
    device: str = "auto",
    extremes: Extremes | None = None,
) -> Generator[Event, None, Explanation]:
    """Explains the weight of the largest |error| in a rectangle, half-open in rows and columns; of equals the first, by rows.

    `layer` is any tensor, a module or a slice of a stack. Only the rows of the rectangle are read, but for the strategy
    "tensor", whose scale needs the smallest and largest weight of all: `extremes` spares that pass. `device` "auto" is the
    CPU: all backends give the same bits, and a row is not worth the way to another.
    Raises UsageError where there is no such tensor or place, PlanError where the scheme cannot be held, SourceError where
    a weight is not finite.
    """
    matrix, place = find(checkpoint, layer), Place(rows, columns)
    checked_place(matrix, place)
    scheme = as_written(checkpoint, matrix, scheme, format)
    check_method(scheme)
    if why := why_unexplained(scheme):
        raise UsageError(why, hint="the preview shows its error", code="explain")
    whole = scheme.strategy == "tensor"
    yield RunStarted(1, (rows[1] - rows[0]) * matrix.row_bytes + (matrix.nbytes if whole and not extremes else 0))
    chosen = "cpu" if device == "auto" else resolve(device)
    with open_tools(checkpoint, holder(matrix, scheme, format), chosen) as tools:
        fixed = None
        if whole:
            extremes = extremes or (yield from all_extremes(tools, matrix))
            fixed = fixed_for(tools, matrix, scheme, extremes)
        worst: _Found | None = None
        for found in ordered(tools.pool, tools.window, _searches(tools, matrix, scheme, place, fixed)):
            yield ChunkDone(matrix.name, found.bytes)
            if worst is None or found.error > worst.error:
                worst = found
        assert worst is not None  # a place has at least one row
        return _explained(tools, matrix, scheme, worst, extremes if whole else None)


@dataclass(frozen=True, slots=True)
class _Found:
    """The weight with the largest error in some rows: where it is, its row, and what became of that."""

    bytes: int
    error: float
    row: int
    column: int
    raw: Raw
    """[1, columns]."""
    chunk: QuantizedChunk


def _searches(
    tools: Tools, matrix: Matrix, scheme: Scheme, place: Place, fixed: Fixed | None
) -> Iterator[Callable[[], _Found]]:
    first, end = place.rows
    step = next(stop for _, stop in tools.spans(matrix))
    for start in range(first, end, step):
        yield partial(_search, tools, matrix, scheme, place.columns, fixed, start, min(start + step, end))


def _search(
    tools: Tools,
    matrix: Matrix,
    scheme: Scheme,
    columns: tuple[int, int],
    fixed: Fixed | None,
    start: int,
    stop: int,
) -> _Found:
    raw = tools.reader.rows(matrix, start, stop)
    with located(matrix, start):
        chunk = tools.quantized(raw, matrix, scheme, fixed)
    restored = tools.backend.dequantize(chunk, matrix.dtype, scheme, matrix.columns)[:, slice(*columns)]
    with np.errstate(over="ignore"):
        error = np.abs(as_float32(raw[:, slice(*columns)], matrix.dtype) - restored)
    row, column = divmod(int(error.argmax()), columns[1] - columns[0])
    return _Found(
        bytes=matrix.row_bytes * (stop - start),
        error=float(error[row, column]),
        row=start + row,
        column=columns[0] + column,
        raw=raw[row : row + 1].copy(),
        chunk=_one_row(chunk, row, whole=fixed is not None),
    )


def _one_row(chunk: QuantizedChunk, row: int, *, whole: bool) -> QuantizedChunk:
    one = slice(row, row + 1)
    scale, zero = chunk.scale, chunk.zero
    if not whole:
        scale, zero = scale[one], None if zero is None else zero[one]
    return replace(chunk, packed=chunk.packed[one], scale=scale, zero=zero)


def _explained(tools: Tools, matrix: Matrix, scheme: Scheme, found: _Found, extremes: Extremes | None) -> Explanation:
    """The numbers of the weight found: those of the backend as they are, those between them by its arithmetic."""
    group = _group(matrix, scheme, found.column)
    values = as_float32(found.raw[0], matrix.dtype)
    lo, hi = extremes or (float(values[slice(*group)].min()), float(values[slice(*group)].max()))
    scale, zero = _parameters(found.chunk, matrix.dtype, scheme, found.column)
    if find_method(scheme.method).shrinks:
        origin = _fitted_origin(values[slice(*group)], scheme, matrix.dtype, scale, zero)
    else:
        origin = _Origin.of(lo, hi, scheme, matrix.dtype, scale, zero)
    placement = tools.format.place(matrix, scheme, found.row, found.column)
    elements = _elements(tools, matrix, scheme, found, placement.code)
    code = placement.code.read(elements)
    weight, step = np.float32(values[found.column]), np.float32(scale.value)
    with np.errstate(over="ignore"):
        steps = float(weight / step)
        restored = np.float32(code - zero) * step
        error = weight - restored
    return Explanation(
        layer=matrix.name,
        scheme=scheme,
        format=tools.format.name,
        shape=(matrix.rows, matrix.columns),
        carried=matrix.carried,
        row=found.row,
        column=found.column,
        stored=_stored(tools, matrix, found.row, found.column),
        weight=float(weight),
        group=group,
        lo=lo,
        hi=hi,
        factor=origin.factor,
        factors=origin.factors,
        exact_scale=origin.span,
        single_scale=float(np.float32(origin.span)),
        scale=scale,
        case=origin.case,
        exact_zero=origin.zero,
        zero=zero,
        steps=steps,
        nearest=round(steps),
        code=code,
        placement=placement,
        elements=elements,
        restored=float(restored),
        decoded=_rounded(restored, matrix.dtype),
        error=float(error),
        fitted=origin.fitted,
    )


def _group(matrix: Matrix, scheme: Scheme, column: int) -> tuple[int, int]:
    size = scheme.group_size or matrix.columns
    first = column // size * size
    return first, min(first + size, matrix.columns)


def _parameters(chunk: QuantizedChunk, dtype: str, scheme: Scheme, column: int) -> tuple[Number, int]:
    """(scale as stored, zero point) of the weight at `column` of a chunk of one row."""
    at = column // scheme.group_size if scheme.group_size else 0
    value = float(as_float32(chunk.scale, dtype)[0, at])
    zero = scheme.levels // 2 if chunk.zero is None else int(chunk.zero[0, at])
    return Number(dtype, int(bits_of(chunk.scale)[0, at]), value), zero


@dataclass(frozen=True, slots=True)
class _Origin:
    """How scale and zero point came about."""

    factor: float
    factors: int
    span: float
    case: Case
    zero: float | None
    fitted: Fitted | None = None

    @classmethod
    def of(cls, lo: float, hi: float, scheme: Scheme, dtype: str, scale: Number, zero: int) -> _Origin:
        """From the extremes of a group and the scale and zero point that the backend gave it."""
        factors = find_method(scheme.method).factors
        factor = _factor(lo, hi, factors, scheme, dtype, scale, zero)
        low, high = min(lo, 0.0) * factor, max(hi, 0.0) * factor
        top = scheme.levels - 1
        span = max(-low, high) / (top / 2) if scheme.symmetric else (high - low) / top
        empty = lo == 0 == hi
        case: Case = "empty" if empty else ("" if stored(np.float32(span), KINDS[dtype]) else "underflow")
        return cls(factor, len(factors), span, case, None if scheme.symmetric or empty else -low / scale.value)


def _fitted_origin(values: NDArray[np.float32], scheme: Scheme, dtype: str, scale: Number, zero: int) -> _Origin:
    """As `_Origin.of`, where the half-quadratic solver went on from the range of the group's `values`."""
    shrinks, top, kind = find_method(scheme.method).shrinks, scheme.levels - 1, KINDS[dtype]
    lo, hi = values.min(), values.max()
    bits, start, middle = parameters(lo, hi, 1.0, top, scheme.symmetric, kind)
    whole = np.zeros(len(values) + LANES, np.float32)
    whole[: len(values)] = values
    found, _, shift, rounds = refine_zero(
        whole, len(values), bits, start, middle, top, scheme.symmetric, kind, np.array(shrinks), np.empty(WORK)
    )
    if (int(found), int(shift)) != (scale.pattern, zero):
        raise ValueError(f"the solver's scale {found} and zero point {shift} are not those that the backend gave")
    begun = Number(dtype, int(bits), float(start))
    origin = _Origin.of(float(lo), float(hi), replace(scheme, method="rtn"), dtype, begun, int(middle))
    return replace(origin, fitted=Fitted(float(start), int(middle), int(rounds)))


def _factor(
    lo: float, hi: float, factors: tuple[float, ...], scheme: Scheme, dtype: str, scale: Number, zero: int
) -> float:
    """The factor that the method settled on: the first that gives this scale and zero point.

    Factors that give the same ones have the same error, and the method keeps the first of equals.
    """
    ends = np.float32(lo), np.float32(hi)
    for factor in factors:
        bits, _, shift = parameters(*ends, factor, scheme.levels - 1, scheme.symmetric, KINDS[dtype])
        if (int(bits), int(shift)) == (scale.pattern, zero):
            return factor
    raise ValueError(f"no factor of {scheme.method} gives the scale {scale.value} and the zero point {zero}")


def _elements(tools: Tools, matrix: Matrix, scheme: Scheme, found: _Found, slot: Slot) -> tuple[int, ...]:
    """The bits of the stored elements that hold a code."""
    stored = next(part for part in tools.format.stored(matrix, scheme) if part.role == "codes")
    first, width = found.row, slot.element_bits // 8
    packed, step = found.chunk.packed, tools.format.row_step(scheme)
    if step > 1:
        first -= found.row % step
        packed = _packed(tools, matrix, scheme, first, min(first + step, matrix.rows))
    rows = tools.format.encode_codes(packed, scheme)
    before = stored.shape[1] * first // matrix.rows if stored.axis == 1 else 0
    if stored.axis == 0:
        rows = rows.reshape(len(packed), -1)
    held = []
    for index in slot.elements:
        line = index[-2] - (first if stored.axis == 0 else 0)
        at = (index[-1] - before) * width
        held.append(int.from_bytes(rows[line, at : at + width].tobytes(), "little"))
    return tuple(held)


def _packed(tools: Tools, matrix: Matrix, scheme: Scheme, start: int, stop: int) -> Bytes:
    """The codes of rows that are stored together, packed."""
    with located(matrix, start):
        raw = tools.reader.rows(matrix, start, stop)
        return tools.quantized(raw, matrix, scheme).packed


def _stored(tools: Tools, matrix: Matrix, row: int, column: int) -> Number:
    """The weight as it lies in the source file."""
    dtype = matrix.stored
    width = item_bytes(dtype)
    offset = (row * matrix.columns + column) * width
    if matrix.packed is None and matrix.part is None:
        data = tools.reader.read(matrix.file, matrix.offset + offset, width, "weight").tobytes()
    else:
        data = tools.reader.bytes_of(matrix, offset, offset + width).tobytes()
    return Number(dtype, int.from_bytes(data, "little"), _value(data, dtype))


def _value(data: bytes, dtype: str) -> float:
    if dtype in QUANTIZABLE:
        return float(as_float32(np.frombuffer(data, RAW_TYPES[dtype]), dtype)[0])
    if dtype == "F64":
        return float(struct.unpack("<d", data)[0])
    if len(data) == 1:
        return number(data[0], dtype)
    return float(int.from_bytes(data, "little", signed=dtype.startswith("I")))


def _rounded(value: np.float32, dtype: str) -> Number:
    """A float32 rounded to nearest even in `dtype`, as a reader rounds it that works there."""
    kind = KINDS[dtype]
    bits = int(stored(np.float32(abs(value)), kind))
    size = float(loaded(np.uint32(bits), kind))
    negative = bool(np.signbit(value))
    return Number(dtype, bits | negative << ITEM_BITS[dtype] - 1, -size if negative else size)
