"""The backend over the torch reference: for a GPU, and as the yardstick of the CPU kernels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtquant_app.core.errors import DeviceError
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import float_torch, methods, offset_torch
from qtquant_app.quant.affine import DTYPES, encode, grouped, parameters, restore, ungrouped
from qtquant_app.quant.blocks import codec
from qtquant_app.quant.chunk import (
    RAW_TYPES,
    Fixed,
    QuantizedChunk,
    Raw,
    RowErrors,
    ScaleOverflow,
    checked,
    checked_chunk,
    first_non_finite,
    of_blocks,
)
from qtquant_app.quant.floats import is_float
from qtquant_app.quant.half_quadratic import refine_offset, refine_zero
from qtquant_app.quant.packing import pack_bits, unpack_bits
from qtquant_app.quant.search import best_parameters, shares_of


class TorchBackend:
    """Quantizes chunks on a torch device. Its codes and scales are those of CpuBackend, bit for bit.

    Row error sums may differ from that one's in their last digits. Raises DeviceError on a device without float64.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.name = device
        if self.device.type == "mps":
            raise DeviceError(
                "mps has no 64-bit floating point, which exact results need", hint="use --device cpu", code="no-float64"
            )

    def quantize(
        self,
        raw: Raw,
        dtype: str,
        scheme: Scheme,
        align: int,
        fixed: Fixed | None = None,
        importance: NDArray[np.float32] | None = None,
    ) -> QuantizedChunk:
        """As `Backend.quantize`."""
        method = methods.check(scheme)
        values = self._finite(raw, dtype)
        if scheme.layout is not None:
            blocks = codec.quantize_raw(values, raw, dtype, scheme, importance)
            return of_blocks(
                blocks.cpu().numpy(), dtype, _errors(values, codec.dequantize(blocks, scheme.layout, raw.shape[1]))
            )
        if is_float(scheme):
            return self._quantize_float(raw, values, dtype, scheme, align, fixed)
        if scheme.offset == "float":
            return self._quantize_offset(values, dtype, scheme, align, importance)
        parts = grouped(values, _group(scheme, raw.shape[1]))
        if scheme.strategy == "tensor":
            fixed = fixed or self.fix(*self.extremes(raw, dtype), dtype, scheme)
            scale, zero = self._given(fixed.scale, fixed.zero, dtype, scheme)
        else:
            shares = self._shares(importance, raw.shape[1], parts.shape[-1])
            scale, zero = best_parameters(parts, method.factors, scheme.bits, scheme.symmetric, DTYPES[dtype], shares)
            _refuse_overflow(scale)
            if method.shrinks:
                counts = self._counts(raw.shape[1], parts)
                symmetric = scheme.symmetric
                scale, zero = refine_zero(parts, counts, scale, zero, scheme.bits, symmetric, method.shrinks)
        codes = encode(parts, scale, zero, scheme.bits)
        restored = ungrouped(restore(codes, scale, zero), raw.shape[1])
        packed = pack_bits(ungrouped(codes, raw.shape[1]), scheme.bits, align)
        stored_zero = None if scheme.symmetric else zero.to(torch.uint8).cpu().numpy()
        return QuantizedChunk(packed.cpu().numpy(), _raw(scale, dtype), stored_zero, _errors(values, restored))

    def extremes(self, raw: Raw, dtype: str) -> tuple[float, float]:
        """As `Backend.extremes`."""
        lo, hi = self._finite(raw, dtype).aminmax()
        return lo.item(), hi.item()

    def fix(self, lo: float, hi: float, dtype: str, scheme: Scheme) -> Fixed:
        """As `Backend.fix`."""
        if is_float(scheme):
            scale, fixed = float_torch.fix(lo, hi, dtype, scheme)
            return Fixed(_raw(scale, dtype), None) if scale is not None else cast(Fixed, fixed)
        low, high = (torch.tensor([[end]], dtype=torch.float32) for end in (lo, hi))
        scale, zero = parameters(low, high, 1.0, scheme.bits, scheme.symmetric, DTYPES[dtype])
        _refuse_overflow(scale)
        return Fixed(_raw(scale, dtype), None if scheme.symmetric else zero.to(torch.uint8).numpy())

    def compare(self, raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
        """As `Backend.compare`."""
        values = self._finite(raw, dtype)
        checked_chunk(chunk, dtype, scheme, raw.shape[1], len(raw))
        return _errors(values, self._restored(chunk, dtype, scheme, raw.shape[1]))

    def dequantize(self, chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
        """As `Backend.dequantize`."""
        result: NDArray[np.float32] = self._restored(chunk, dtype, scheme, columns).cpu().numpy()
        return result

    def _finite(self, raw: Raw, dtype: str) -> Tensor:
        values = self._tensor(checked(raw, dtype), dtype).float()
        if not bool(values.isfinite().all()):
            raise first_non_finite(raw, dtype)
        return values

    def _tensor(self, raw: Raw, dtype: str) -> Tensor:
        """A raw array as a tensor of its dtype, on the device."""
        array = np.require(raw, requirements=["C", "A"])
        bits = array.view(np.int32 if array.dtype.itemsize == 4 else np.int16)
        return torch.from_numpy(bits if bits.flags.writeable else bits.copy()).to(self.device).view(DTYPES[dtype])

    def _restored(self, chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> Tensor:
        checked_chunk(chunk, dtype, scheme, columns)
        packed = torch.from_numpy(np.array(chunk.packed)).to(self.device)
        if scheme.layout is not None:
            return codec.dequantize(packed, scheme.layout, columns)
        if is_float(scheme):
            codes = unpack_bits(packed, scheme.bits, columns)
            return float_torch.dequantize(codes, self._stored(chunk.scale, dtype), scheme, self._divisor(chunk.whole))
        codes = grouped(unpack_bits(packed, scheme.bits, columns), _group(scheme, columns))
        if scheme.offset == "float" and chunk.zero is not None:
            shift = self._tensor(chunk.zero, dtype)
            return ungrouped(offset_torch.restore(codes, self._tensor(chunk.scale, dtype), shift), columns)
        return ungrouped(restore(codes, *self._given(chunk.scale, chunk.zero, dtype, scheme)), columns)

    def _shares(self, importance: NDArray[np.float32] | None, columns: int, size: int) -> Tensor | None:
        if importance is None:
            return None
        if importance.shape != (columns,):
            raise ValueError(f"{columns} columns are given importances of shape {importance.shape}")
        return shares_of(torch.from_numpy(np.array(importance, np.float32)).to(self.device), size)

    def _quantize_offset(
        self, values: Tensor, dtype: str, scheme: Scheme, align: int, importance: NDArray[np.float32] | None
    ) -> QuantizedChunk:
        columns, size = values.shape[1], _group(scheme, values.shape[1])
        parts, method = grouped(values, size), methods.check(scheme)
        counts, factors = self._counts(columns, parts), method.factors
        stored = DTYPES[dtype]
        if method.shrinks:
            scale, offset = offset_torch.whole_parameters(parts, scheme.bits, stored)
        else:
            shares = self._shares(importance, columns, size)
            scale, offset = offset_torch.best_parameters(parts, counts, factors, scheme.bits, stored, shares)
        _refuse_overflow(scale)
        _refuse_overflow(offset)
        if method.shrinks:
            scale, offset = refine_offset(parts, counts, scale, offset, scheme.bits, method.shrinks)
        codes = offset_torch.encode(parts, scale, offset, scheme.bits)
        restored = ungrouped(offset_torch.restore(codes, scale, offset), columns)
        packed = pack_bits(ungrouped(codes, columns), scheme.bits, align).cpu().numpy()
        return QuantizedChunk(packed, _raw(scale, dtype), _raw(offset, dtype), _errors(values, restored))

    def _counts(self, columns: int, parts: Tensor) -> Tensor:
        """How many weights each group of `parts` [rows, groups, size] has, [groups]."""
        groups, size = parts.shape[1:]
        return torch.clamp(columns - torch.arange(groups, device=self.device) * size, max=size)

    def _quantize_float(
        self, raw: Raw, values: Tensor, dtype: str, scheme: Scheme, align: int, fixed: Fixed | None
    ) -> QuantizedChunk:
        if scheme.needs_extremes and fixed is None:
            fixed = self.fix(*self.extremes(raw, dtype), dtype, scheme)
        given = self._stored(fixed.scale, dtype) if fixed is not None else None
        whole = None if fixed is None else fixed.whole
        codes, scale, restored = float_torch.quantize(values, dtype, scheme, given, self._divisor(whole))
        packed = pack_bits(codes, scheme.bits, align).cpu().numpy()
        stored = scale.cpu().numpy() if scale.dtype == torch.uint8 else _raw(scale, dtype)
        return QuantizedChunk(packed, stored, None, _errors(values, restored), whole)

    def _stored(self, scale: Raw, dtype: str) -> Tensor:
        """Stored scales on the device: of `dtype`, or codes of one byte."""
        if scale.dtype == np.uint8:
            return torch.from_numpy(np.array(scale)).to(self.device)
        return self._tensor(scale, dtype)

    def _divisor(self, whole: NDArray[np.float32] | None) -> Tensor:
        return torch.ones((), device=self.device) if whole is None else torch.from_numpy(whole[0]).to(self.device)

    def _given(self, scale: Raw, zero: NDArray[Any] | None, dtype: str, scheme: Scheme) -> tuple[Tensor, Tensor]:
        stored = self._tensor(scale, dtype)
        if zero is None:
            return stored, torch.full(stored.shape, scheme.levels // 2, dtype=torch.int32, device=self.device)
        return stored, torch.from_numpy(np.array(zero)).to(self.device, torch.int32)


def _group(scheme: Scheme, columns: int) -> int:
    return columns if scheme.group_size is None else min(scheme.group_size, columns)


def _raw(tensor: Tensor, dtype: str) -> Raw:
    bits = torch.int32 if tensor.element_size() == 4 else torch.int16
    array: Raw = tensor.cpu().contiguous().view(bits).numpy().view(RAW_TYPES[dtype])
    return array


def _refuse_overflow(scale: Tensor) -> None:
    rows = scale.isinf().any(dim=1).nonzero()
    if len(rows):
        raise ScaleOverflow(int(rows[0]))


def _errors(values: Tensor, restored: Tensor) -> RowErrors:
    error = values - restored
    noise, signal, back = (part.double().square().sum(1).cpu().numpy() for part in (error, values, restored))
    return RowErrors(noise, signal, back, error.abs().amax(1).cpu().numpy())
