"""The plain format's tensors as torch weights. The bits are those of `quant`: float32(code - zero) * float32(scale), and of FP8
codes float32(code) * float32(scale)."""

from __future__ import annotations

import torch

from qtquant_app.core.scheme import Scheme


def dequantize(
    packed: torch.Tensor,
    scale: torch.Tensor,
    zero: torch.Tensor | None,
    scheme: Scheme,
    columns: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Weights [rows, columns] in `dtype`, from packed rows (uint8 [rows, bytes]) and their parameters.

    `scale` is [rows, groups], [row blocks, column blocks], or [1] for a whole tensor; `zero` is uint8 of the same shape, None where
    the scheme is symmetric. Each weight is rounded once, from the float32 product to `dtype`.
    """
    if scheme.type == "float":
        return _floats(packed[:, :columns], scale.float(), scheme).to(dtype)
    # code - zero has at most 9 bits and the scale at most 11, so their product is exact in float32; torch multiplies
    # halves in float32 and rounds once. Working in the scale's own dtype therefore gives the same bits in half the memory.
    work = dtype if scale.dtype == dtype else torch.float32
    codes = unpack(packed, scheme.bits, columns).to(work)
    scale = scale.to(work)
    middle = float(1 << (scheme.bits - 1))
    shift = torch.full_like(scale, middle) if zero is None else zero.to(work)
    if scheme.group_size is None:
        return codes.sub_(shift).mul_(scale).to(dtype)
    return _by_group(codes, scale, shift, scheme.group_size).to(dtype)


def _floats(codes: torch.Tensor, scale: torch.Tensor, scheme: Scheme) -> torch.Tensor:
    """FP8 codes uint8 [rows, columns] under float32 scales, float32. Rows begin where a row of blocks does."""
    values = codes.view(torch.float8_e4m3fn).float()
    if scheme.group_size is None:
        return values.mul_(scale)
    down = scale.repeat_interleave(scheme.row_block, 0)[: len(codes)]
    return values.mul_(down.repeat_interleave(scheme.group_size, 1)[:, : codes.shape[1]])


def _by_group(codes: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, size: int) -> torch.Tensor:
    """`codes` scaled in place, group by group; the last group of a row may be shorter."""
    rows, columns = codes.shape
    whole = columns // size
    groups = codes[:, : whole * size].view(rows, whole, size)
    groups.sub_(shift[:, :whole, None]).mul_(scale[:, :whole, None])
    if columns % size:
        codes[:, whole * size :].sub_(shift[:, -1:]).mul_(scale[:, -1:])
    return codes


def unpack(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """Codes uint8 [rows, columns] of packed rows of 2, 4 or 8 bits, as `quant.packing.unpack_uint8` has them.

    That one takes any width and goes through 64-bit words; this one is called in every forward pass and stays in bytes,
    ten times quicker.
    """
    if bits == 8:
        return packed[:, :columns]
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)
    codes = (packed.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return codes.flatten(1)[:, :columns]
