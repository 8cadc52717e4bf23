"""A scheme in words, for whoever does not know the labels."""

from __future__ import annotations

from qtquant_app.core.layouts import LAYOUTS, MIXTURE, is_mixture
from qtquant_app.core.scheme import Scheme

_METHODS = {
    "rtn": "rounded to the nearest code",
    "mse": "with ranges searched for the least squared error",
    "hqq": "with half-quadratic quantization (HQQ)",
    "gptq": "with GPTQ",
    "awq": "with AWQ",
    "smoothquant": "with SmoothQuant",
    "learned": "with learned rounding",
}
_ACTIVATIONS = {"int8": "inputs of layers rounded to 8-bit integers", "fp8": "inputs of layers rounded to FP8"}


def scheme_words(scheme: Scheme) -> str:
    """`4-bit integers, symmetric, a scale for each group of 128 input columns, rounded to the nearest code`."""
    parts = [*_codes(scheme), *map(_method, scheme.method.split("+"))]
    if scheme.activations != "none":
        parts.append(_ACTIVATIONS[scheme.activations])
    return ", ".join(parts)


def _codes(scheme: Scheme) -> list[str]:
    if scheme.layout is not None:
        if is_mixture(scheme.layout):
            return [f"llama.cpp's mixture {scheme.layout.removeprefix(MIXTURE)}"]
        return [f"{scheme.layout} blocks of {LAYOUTS[scheme.layout].block} weights"]
    if scheme.type == "float":
        named = {(8, None): "8-bit floats (FP8 E4M3)", (4, 16): "4-bit floats (NVFP4)", (4, 32): "4-bit floats (MXFP4)"}
        return [named.get((scheme.bits, scheme.group_size), "8-bit floats (FP8 E4M3)"), _where(scheme)]
    return [f"{scheme.bits}-bit integers", "symmetric" if scheme.symmetric else "asymmetric", _where(scheme)]


def _where(scheme: Scheme) -> str:
    size = scheme.group_size
    return {
        "tensor": "one scale for each tensor",
        "channel": "a scale for each output channel",
        "group": f"a scale for each group of {size} input columns",
        "block": f"a scale for each square of {size} by {size} weights",
    }[scheme.strategy]


def _method(name: str) -> str:
    return _METHODS.get(name, f"by the method {name}")
