"""The methods that find codes, by name: "mse", or a folding and then a rounding as "awq+gptq".

A method is a class with a name: subclassing Method registers it.
"""

from __future__ import annotations

from functools import cache

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_text import shown
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.method import REGISTRY, Method, composed

__all__ = ["COMPOSITIONS", "Method", "check", "find", "registry", "short_title"]

COMPOSITIONS = ("awq+gptq", "awq+learned", "smoothquant+gptq", "smoothquant+learned")
"""What menus offer beside single methods; any other folding and rounding can be named as well."""

_LONGEST = 40
"""Characters of a name; the longest there is has 18."""


class RoundToNearest(Method):
    name = "rtn"
    title = "Round to nearest"
    description = "The range of each group decides its scale; each weight takes the nearest code. Fastest."
    formula = "s = max|w| / ((2^b - 1) / 2), or (max - min) / (2^b - 1) asymmetric; as compressed-tensors does it"
    layouts = True
    factors = (1.0,)


class ClipSearch(Method):
    name = "mse"
    title = "Clip search (least squared error)"
    description = (
        "Tries 40 ranges for each group, from 108% down to 30%, and keeps the one with the least squared error."
    )
    formula = "argmin over p of sum (w - w'(p))^2, range multiplied by p; the clipping search of OMSE (Choukroun 2019)"
    strategies = ("channel", "group")
    layouts = True
    factors = tuple((108 - 2 * step) / 100 for step in range(40))


class HalfQuadratic(Method):
    name = "hqq"
    title = "HQQ (half-quadratic)"
    description = "Fits scale and zero point of each group so that most weights come out near and a few may be far off."
    formula = (
        "argmin over s, z of sum |w - w'|^(3/4); by turns e = sign(x) max(|x| - |x|^(-1/4) / beta, 0) of each error x and the s, z "
        "that fit w - e best, while the sum falls (Badri and Shaji 2023, HQQ)"
    )
    strategies = ("channel", "group")
    floats = False
    factors = RoundToNearest.factors
    shrinks = tuple(1.05**-step for step in range(12))


class Gptq(Method):
    name = "gptq"
    title = "GPTQ (error compensation)"
    description = (
        "Rounds column by column, and has the columns still to come make up for each column's error on the samples."
    )
    formula = (
        "w_j -= (w_q - w'_q) H^-1_qj / H^-1_qq over the columns j after q, H the mean of x x^T over the samples; ranges by mse "
        "weighted by diag H (Frantar 2023, GPTQ)"
    )
    needs_calibration = True
    strategies = ("channel", "group")
    layouts = True
    floats = False
    start = "mse"
    factors = ClipSearch.factors


class Awq(Method):
    name = "awq"
    title = "AWQ (activation-aware scaling)"
    description = "Enlarges the columns that matter on the samples, and folds the factors into the layer before."
    formula = "W diag(c) and x / c, c = mean|x|^a with the a of least output error; the norm before takes 1 / c (Lin 2024, AWQ)"
    stage = "folding"
    needs_calibration = True
    strategies = ("channel", "group")
    layouts = True
    floats = False
    start = "mse"
    factors = ClipSearch.factors


class SmoothQuant(Method):
    name = "smoothquant"
    title = "SmoothQuant (for 8-bit activations)"
    description = "Moves the large values of the activations into the weights, so that both fit 8 bits."
    formula = (
        "c_j = max|x_j|^a / max|w_j|^(1 - a), W diag(c), x / c; the norm before takes 1 / c (Xiao 2023, SmoothQuant)"
    )
    stage = "folding"
    needs_calibration = True
    start = "rtn"
    factors = RoundToNearest.factors

    @classmethod
    def refuses(cls, scheme: Scheme) -> str:
        if scheme.layout is None and scheme.activations == "none":
            return "where activations are not quantized"
        return super().refuses(scheme)

    @classmethod
    def advice(cls, scheme: Scheme) -> str:
        return "--activations int8 or fp8" if scheme.layout is None else ""


class Learned(Method):
    name = "learned"
    title = "Learned rounding"
    description = (
        "Learns which way to round and where to clip, block by block, so that each block's output stays what it was."
    )
    formula = (
        "argmin over v in [-1/2, 1/2] and the range of ||f(x; W) - f(x; W'(v))||^2 for each block f, u = round(w/s + z + v), "
        "by the signs of the gradients (Cheng 2024, SignRound)"
    )
    needs_calibration = True
    strategies = ("channel", "group")
    layouts = True
    floats = False
    start = "mse"
    factors = ClipSearch.factors


_AFTER = {"awq": "mse", "smoothquant": "rtn"}
"""The rounding that follows a folding which is named alone."""


def registry() -> dict[str, type[Method]]:
    """Every single method by name, in the order they were registered."""
    return dict(REGISTRY)


@cache
def _composed(folding: str, rounding: str) -> type[Method]:
    return composed(REGISTRY[folding], REGISTRY[rounding])


def find(name: str) -> type[Method]:
    """The method of that name, or "FOLDING+ROUNDING" as one. Raises UsageError where there is none."""
    names = name.split("+") if len(name) <= _LONGEST else [name]
    for one in names:
        if one not in REGISTRY:
            raise UsageError(
                f"method {shown(one)} is not one of {', '.join(REGISTRY)}", hint="see `qtquant methods`", code="method"
            )
    if len(names) == 1:
        return REGISTRY[name]
    if [REGISTRY[one].stage for one in names] != ["folding", "rounding"]:
        foldings = [one for one, method in REGISTRY.items() if method.stage == "folding"]
        raise UsageError(
            f"method {shown(name)} is not a folding and then a rounding",
            hint=f"write one of {', '.join(foldings)} first, then + and one that rounds, as in awq+gptq",
            code="method",
        )
    return _composed(*names)


def short_title(name: str) -> str:
    """What the method is called, without what its titles explain in brackets: "AWQ, then GPTQ". Raises as `find`."""
    return ", then ".join(part.title.partition(" (")[0] for part in find(name).parts)


def steps(name: str) -> tuple[str, str]:
    """(folding, rounding) that a method goes through; the folding is empty where there is none. Raises as `find`."""
    names = [part.name for part in find(name).parts]
    if len(names) == 2:
        return names[0], names[1]
    return (name, _AFTER[name]) if find(name).stage == "folding" else ("", name)


def check(scheme: Scheme) -> type[Method]:
    """The scheme's method. Raises UsageError where it does not exist or does not work with the scheme."""
    method = find(scheme.method)
    refusal = method.refuses(scheme)
    if refusal:
        advice = method.advice(scheme)
        raise UsageError(
            f"method {method.name!r} does not work {refusal}",
            hint=f"use {advice}, or --method rtn" if advice else "use --method rtn",
            code="method",
        )
    return method
