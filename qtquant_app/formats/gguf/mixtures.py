"""llama.cpp's mixtures: which block type each tensor of a file gets.

Source: llama-quant.cpp (llama_tensor_get_type_impl, tensor_type_fallback, tensor_allows_quantization), 2026, without an
importance matrix. It counts value and down projections as it meets them, block by block; where each block has one of each, as in
every architecture here, the count is the block's number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qtquant_app.core.layouts import LAYOUTS, MIXTURES

_FALLBACKS = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_BLOCK = re.compile(r"blk\.(\d+)\.")
_EIGHT = 8
"""Experts of the Mixtures for which llama.cpp spends more on attention."""
_OUTPUTS_OF_EIGHT = frozenset({"Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M"})
_OUTPUTS = {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}
_SHARED_VALUES_LAYERS = 80
_SEVENTIES = frozenset({"llama", "qwen2"})
"""Architectures that llama.cpp takes for its "70B" at 80 layers, whose small value projections get more bits."""


@dataclass(frozen=True, slots=True)
class Model:
    """What of a model decides on types. `heads_per_kv` is that of the first layer."""

    architecture: str
    layers: int
    heads_per_kv: int
    experts: int = 0
    tied: bool = False
    """Whether the file has no `output.weight`."""

    @property
    def is_seventy(self) -> bool:
        if self.layers != _SHARED_VALUES_LAYERS or self.architecture not in _SEVENTIES:
            return False
        return self.architecture != "llama" or self.heads_per_kv != 1


def is_quantized(name: str, sides: int) -> bool:
    """Whether llama.cpp ever quantizes the tensor called `name`, of so many dimensions."""
    return sides >= 2 and name.endswith("weight") and "_norm.weight" not in name and "ffn_gate_inp.weight" not in name


def fallback(layout: str, columns: int) -> str:
    """`layout`, or what llama.cpp takes where rows of `columns` weights are no whole number of its blocks: F16 in the end."""
    for tried in (layout, _FALLBACKS.get(layout, layout)):
        if columns % LAYOUTS[tried].block == 0:
            return tried
    return "F16"


def type_of(mixture: str, name: str, shape: tuple[int, ...], model: Model) -> str | None:
    """The layout of the tensor called `name`, of row-major `shape`; None where it stays as it is."""
    if not is_quantized(name, len(shape)):
        return None
    return fallback(_chosen(mixture, name, shape[-1], model), shape[-1])


def _is_value(name: str) -> bool:
    return any(part in name for part in ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight"))


def _more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _chosen(mixture: str, name: str, columns: int, model: Model) -> str:
    base = MIXTURES[mixture]
    block = _BLOCK.match(name)
    layer = int(block[1]) if block else 0
    if base in ("F16", "BF16"):
        return base
    if name == "output.weight" or (model.tied and name == "token_embd.weight"):
        return "Q8_0" if base == "Q8_0" or columns % LAYOUTS[base].block else "Q6_K"
    if name == "token_embd.weight":
        return base
    if _is_value(name):
        return _value(mixture, base, layer, model)
    if "attn_k.weight" in name:
        return "Q8_0" if model.experts == _EIGHT else base
    if "ffn_down" in name:
        return _down(mixture, base, layer, model.layers)
    if "attn_output.weight" in name:
        if model.experts == _EIGHT:
            return "Q5_K" if mixture in _OUTPUTS_OF_EIGHT else base
        return _OUTPUTS.get(mixture, base)
    return base


def _value(mixture: str, base: str, layer: int, model: Model) -> str:
    chosen = _plain_value(mixture, base, layer, model)
    if model.is_seventy and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    return "Q8_0" if model.experts == _EIGHT else chosen


def _plain_value(mixture: str, base: str, layer: int, model: Model) -> str:
    match mixture:
        case "Q2_K":
            return "Q4_K" if model.heads_per_kv >= 4 else "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < 2 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M":
            return "Q6_K" if _more_bits(layer, model.layers) else base
        case "Q4_K_S":
            return "Q5_K" if layer < 4 else base
    return base


def _down(mixture: str, base: str, layer: int, layers: int) -> str:
    match mixture:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M":
            return "Q6_K" if _more_bits(layer, layers) else base
        case "Q4_K_S":
            return "Q5_K" if layer < layers // 8 else base
    return base
