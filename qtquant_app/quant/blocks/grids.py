"""Block layouts as grids: what the codes of each sub-block stand for, so that a solver can choose codes and leave scales alone.

A sub-block's weights are w' = step (u - middle), or w' = step u + base; d, dmin and the whole-number scales of its block give step
and base, in the arithmetic of `codec.dequantize`, which is that of gguf-py. A step may be negative, or zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.blocks import codec
from qtquant_app.quant.blocks.pack import pack, unpack
from qtquant_app.quant.blocks.search import middle
from qtquant_app.quant.chunk import QuantizedChunk, RowErrors, ScaleOverflow, of_blocks
from qtquant_app.quant.kernels import blocks_codec
from qtquant_app.quant.solvers.awq import FLOOR
from qtquant_app.quant.solvers.gptq import enlarged
from qtquant_app.quant.solvers.grid import Grid, Solved, refuse_non_finite, to_chunk
from qtquant_app.quant.solvers.loss import better_rows, check_hessian, row_losses
from qtquant_app.quant.solvers.rows import over_rows


def grid_of(blocks: Tensor, name: str, columns: int) -> Solved:
    """The codes of blocks uint8 [rows, row bytes] of the layout `name`, [rows, columns], and the grid they lie on, which holds
    the blocks. `grid.restored` of it is `codec.dequantize` to the bit."""
    layout = LAYOUTS[name]
    found = unpack(name, blocks.reshape(-1, layout.nbytes))
    step, base = codec.steps_of(name, found)
    scale = step.reshape(len(blocks), -1)
    levels = 1 << layout.bits
    if base is None:
        grid = Grid(scale, torch.full_like(scale, middle(name)), layout.group, levels, blocks=blocks)
    else:
        grid = Grid(scale, base.reshape(scale.shape), layout.group, levels, "float", blocks)
    return Solved(found.codes.view(len(blocks), columns), grid)


def with_codes(blocks: Tensor, name: str, codes: Tensor) -> Tensor:
    """The blocks with other codes, uint8 [rows, columns], as `grid_of` counts them; all else in them as it was."""
    layout = LAYOUTS[name]
    found = unpack(name, blocks.reshape(-1, layout.nbytes))
    return pack(name, replace(found, codes=codes.reshape(-1, layout.block))).view(blocks.shape)


def searched(weight: Tensor, name: str, importance: Tensor | None = None) -> Solved:
    """What a search makes of float32 weight [rows, columns] in the layout `name`, squared errors weighted by the `importance`
    of their column, float32 [columns]. Raises NonFinite, ScaleOverflow, and ValueError where blocks do not fill a row."""
    refuse_non_finite(weight)
    shares = None if importance is None else importance.cpu().numpy()
    if weight.device.type != "cpu":
        return grid_of(codec.quantize(weight, name, shares, searched=True), name, weight.shape[1])
    raw, scheme = weight.contiguous().numpy(), Scheme.of_layout(name, "mse")
    packed = np.empty((len(raw), LAYOUTS[name].row_bytes(raw.shape[1])), np.uint8)

    def search_piece(first: int, last: int) -> None:
        try:
            packed[first:last] = blocks_codec.quantize(raw[first:last], "F32", scheme, shares).packed
        except ScaleOverflow as error:
            raise ScaleOverflow(first + error.row) from None

    over_rows(search_piece, len(raw))
    return grid_of(torch.from_numpy(packed), name, raw.shape[1])


def searched_for_outputs(weight: Tensor, name: str, hessian: Tensor) -> Solved:
    """Of the codes that a search gives with the diagonal of `hessian`, float32 [columns, columns], as importance and without, those
    that lose less in each row: e hessian e^T. Raises as `searched`, and ValueError for a bad `hessian`."""
    check_hessian(weight, hessian)
    both = [searched(weight, name, importance) for importance in (None, enlarged(hessian, 0, FLOOR).diagonal())]
    losses = [row_losses(weight, found, hessian) for found in both]
    return better_rows(both[0], losses[0], both[1], losses[1])[0]


def chunk_of(solved: Solved, scheme: Scheme, dtype: str, align: int) -> QuantizedChunk:
    """As `grid.to_chunk`, under a layout too: blocks then, with the codes of `solved`."""
    if scheme.layout is None or solved.grid.blocks is None:
        return to_chunk(solved, scheme, dtype, align)
    packed = with_codes(solved.grid.blocks, scheme.layout, solved.codes)
    return of_blocks(packed.cpu().numpy(), dtype, RowErrors.concat(()))
