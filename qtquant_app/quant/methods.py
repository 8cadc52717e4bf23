"""The methods that find scales. A method is a class with a name: subclassing Method registers it.

A data-free method is a grid of factors: each group's range is shrunk or stretched by every factor, and the one that
gives the smallest squared error is kept, the first of equals.
"""

from __future__ import annotations

from typing import Any, ClassVar

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme, Strategy

_REGISTRY: dict[str, type[Method]] = {}


class Method:
    """How the scale of a group is chosen. Subclasses set every attribute; two may not share a name."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    """One sentence for a menu."""
    formula: ClassVar[str]
    """The rule itself, and where it comes from."""
    needs_calibration: ClassVar[bool] = False
    strategies: ClassVar[tuple[Strategy, ...]] = ("tensor", "channel", "group", "block")
    layouts: ClassVar[bool] = False
    """Whether it finds the codes of block layouts."""
    factors: ClassVar[tuple[float, ...]]
    """Factors tried on each group's range, in order."""

    def __init_subclass__(cls) -> None:
        if cls.name in _REGISTRY:
            raise TypeError(f"two methods are named {cls.name!r}")
        _REGISTRY[cls.name] = cls

    @classmethod
    def refuses(cls, scheme: Scheme) -> str:
        """Why it does not work for `scheme`, as the end of a sentence; empty where it does."""
        if scheme.layout is not None and not cls.layouts:
            return f"for the blocks of {scheme.layout}"
        return "" if scheme.strategy in cls.strategies else f"per {scheme.strategy}"

    @classmethod
    def to_json(cls) -> dict[str, Any]:
        """The row of `qtquant methods`."""
        return {
            "name": cls.name,
            "title": cls.title,
            "description": cls.description,
            "formula": cls.formula,
            "needs_calibration": cls.needs_calibration,
            "strategies": list(cls.strategies),
            "available": True,
            "reason": "",
        }


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


def registry() -> dict[str, type[Method]]:
    """Every method by name, in the order they were registered."""
    return dict(_REGISTRY)


def find(name: str) -> type[Method]:
    """The method of that name. Raises UsageError where there is none."""
    if name not in _REGISTRY:
        raise UsageError(
            f"method {name!r} is not one of {', '.join(_REGISTRY)}", hint="see `qtquant methods`", code="method"
        )
    return _REGISTRY[name]


def check(scheme: Scheme) -> type[Method]:
    """The scheme's method. Raises UsageError where it does not exist or does not work with the scheme's strategy."""
    method = find(scheme.method)
    refusal = method.refuses(scheme)
    if refusal:
        strategies = "" if scheme.layout is not None else f"--strategy {' or '.join(method.strategies)}, or "
        raise UsageError(
            f"method {method.name!r} does not work {refusal}",
            hint=f"use {strategies}--method rtn",
            code="method",
        )
    return method
