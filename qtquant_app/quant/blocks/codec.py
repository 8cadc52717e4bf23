"""Block layouts in torch: the reference of `quant.kernels.blocks_codec`, and what runs on a GPU. The same bytes, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.blocks.fit import ROUNDER, Parts, alone, clipped, half, inverse_of, together
from qtquant_app.quant.blocks.halves import HALVES, converted
from qtquant_app.quant.blocks.legacy import plain, plain_step
from qtquant_app.quant.blocks.pack import Blocks, pack, unpack
from qtquant_app.quant.blocks.search import FREE, SEARCHES, SYMMETRIC, middle
from qtquant_app.quant.blocks.shares import shares_of
from qtquant_app.quant.chunk import Raw, ScaleOverflow, layout_named

_SCALE_MIDDLES = {"Q3_K": 32, "Q6_K": 128}
"""What is taken from a stored whole-number scale."""


def quantize(
    values: Tensor, name: str, importance: NDArray[np.float32] | None = None, searched: bool = False
) -> Tensor:
    """Blocks of the layout `name`, uint8 [rows, row bytes], for finite float32 values [rows, columns]; on their device.

    As `blocks_codec.quantize`. Raises ValueError where blocks do not fill a row, and ScaleOverflow.
    """
    rows, columns = values.shape
    layout = LAYOUTS[name]
    width = layout.row_bytes(columns)
    if layout.block == layout.group and importance is None and not searched:
        blocks = plain(values.reshape(-1, layout.block), SEARCHES[name].lowest, SEARCHES[name].top)
        _refuse_overflow(blocks, rows)
        return pack(name, blocks).view(rows, width)
    parts = _parts(values, name, importance)
    wanted, wanted_base = alone(parts)
    if layout.block == layout.group:
        return pack(name, _finished_legacy(parts, values, wanted, wanted_base)).view(rows, width)
    found = together(parts, wanted, wanted_base, layout.block // layout.group)
    codes = _codes(parts, found.d * found.scale, -(found.dmin * found.minimum), middle(name))
    heads = slice(None, None, layout.block // layout.group)
    scales = (found.scale + _SCALE_MIDDLES.get(name, 0)).to(torch.uint8).view(-1, layout.block // layout.group)
    minima = found.minimum.to(torch.uint8).view(scales.shape)
    symmetric = SEARCHES[name].mode == SYMMETRIC
    d, dmin = found.d[heads].half(), found.dmin[heads].half()
    blocks = Blocks(codes.view(-1, layout.block), d, None if symmetric else dmin, scales, minima)
    return pack(name, blocks).view(rows, width)


def quantize_raw(
    values: Tensor, raw: Raw, dtype: str, scheme: Scheme, importance: NDArray[np.float32] | None = None
) -> Tensor:
    """Blocks of a scheme's layout for raw [rows, columns], of which `values` are the float32, on their device.

    Also raises RestoredOverflow where F16 or BF16 does not reach.
    """
    layout = layout_named(scheme.layout or "")
    if layout.name in HALVES:
        return torch.from_numpy(converted(raw, dtype, layout.name).copy()).to(values.device)
    return quantize(values, layout.name, importance, scheme.method != "rtn")


def dequantize(packed: Tensor, name: str, columns: int) -> Tensor:
    """What blocks uint8 [rows, row bytes] stand for, float32 [rows, columns], rounded as gguf-py rounds."""
    layout = LAYOUTS[name]
    if name in HALVES:
        return packed.contiguous().view(torch.float16 if name == "F16" else torch.bfloat16).float()
    blocks = unpack(name, packed.reshape(-1, layout.nbytes))
    parts = blocks.codes.view(len(blocks.codes), -1, layout.group).float() - middle(name)
    step, base = steps_of(name, blocks)
    values = parts * step[:, :, None]
    if base is not None:
        values = values + base[:, :, None]
    return values.view(len(packed), columns)


def steps_of(name: str, blocks: Blocks) -> tuple[Tensor, Tensor | None]:
    """The step of each sub-block and, where it is not symmetric, its base: float32 [n, groups], or [n, 1] in a legacy type."""
    step = blocks.d.float()[:, None]
    if blocks.scales is not None:
        step = step * (blocks.scales.float() - _SCALE_MIDDLES.get(name, 0))
    if blocks.dmin is None:
        return step, None
    base = blocks.dmin.float()[:, None]
    return step, base if blocks.minima is None else -(base * blocks.minima.float())


def _parts(values: Tensor, name: str, importance: NDArray[np.float32] | None) -> Parts:
    rows, columns = values.shape
    group, search = LAYOUTS[name].group, SEARCHES[name]
    lanes = values.reshape(-1, group).T.contiguous()
    low, high = lanes.amin(0), lanes.amax(0)
    if search.mode == SYMMETRIC:
        low, extent = torch.zeros_like(low), torch.where(high > -low, high, low)
    else:
        if search.mode != FREE:
            low, high = low.clamp(max=0), high.clamp(min=0)
        extent = high - low
    shares, count = None, torch.full_like(low, group)
    if importance is not None:
        row = torch.from_numpy(shares_of(importance, columns)).to(values.device).view(-1, group).T
        shares, count = row.repeat(1, rows), torch.zeros(columns // group, device=values.device)
        for share in row:
            count = count + share
        count = count.repeat(rows)
    parts = Parts(lanes, shares, count, low, extent, search)
    _refuse_range(parts, rows)
    return parts


def _codes(parts: Parts, step: Tensor, base: Tensor, shift: int) -> Tensor:
    """Stored codes uint8 [n, size], rounded as in a trial."""
    code = clipped((parts.values - base) * inverse_of(step), parts.search.lowest, parts.search.top)
    return ((code + ROUNDER) - ROUNDER + shift).to(torch.uint8).T.contiguous()


def _finished_legacy(parts: Parts, values: Tensor, wanted: Tensor, wanted_base: Tensor) -> Blocks:
    """The searched step and base of each block, or the plain ones where they are no worse."""
    search = parts.search
    step, base = plain_step(values.reshape(-1, len(parts.values)), search.lowest, search.top)
    steps, bases = (half(wanted), half(step)), (half(wanted_base), half(base))
    losses = [parts.trial(inverse_of(step), step, base).losses for step, base in zip(steps, bases, strict=True)]
    better = losses[0] < losses[1]
    step, base = torch.where(better, *steps), torch.where(better, *bases)
    shift = -search.lowest if search.lowest != -search.top else 128
    low = None if search.mode == SYMMETRIC else base.half()
    return Blocks(_codes(parts, step, base, shift), step.half(), low, None, None)


def _refuse_overflow(blocks: Blocks, rows: int) -> None:
    bad = blocks.d.isinf() if blocks.dmin is None else blocks.d.isinf() | blocks.dmin.isinf()
    _refuse(bad, rows)


def _refuse_range(parts: Parts, rows: int) -> None:
    """ScaleOverflow for the first row in which float16 does not reach the scale of a range, or a minimum."""
    search = parts.search
    minimum = torch.tensor(65504.0 * max(-search.floor if search.mode == SYMMETRIC else search.cap, 1))
    extent = (minimum.double() * max(-search.lowest, search.top)).float()
    _refuse(~((parts.extent.abs() <= extent) & (parts.low.abs() <= minimum)), rows)


def _refuse(bad: Tensor, rows: int) -> None:
    if bool(bad.any()):
        raise ScaleOverflow(int(bad.view(rows, -1).any(1).nonzero()[0]))
