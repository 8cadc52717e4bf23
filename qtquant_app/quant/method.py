"""What a method is: one way to find codes, or a folding of the weights before that; and several of them, one after the other."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from qtquant_app.core.scheme import Scheme, Strategy

Stage = Literal["folding", "rounding"]
"""A folding moves factors between layers and leaves the model the same; a rounding finds scales, zero points and codes."""

REGISTRY: dict[str, type[Method]] = {}


class Method:
    """How the codes of a weight are found. Subclasses set every attribute; two may not share a name.

    A data-free method is a grid of factors: each group's range is shrunk or stretched by every factor, and the one that gives the
    least squared error is kept, the first of equals. What a calibrated one starts from, its `start`, is such a method.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    """One sentence for a menu."""
    formula: ClassVar[str]
    """The rule itself, and where it comes from."""
    stage: ClassVar[Stage] = "rounding"
    needs_calibration: ClassVar[bool] = False
    strategies: ClassVar[tuple[Strategy, ...]] = ("tensor", "channel", "group", "block")
    layouts: ClassVar[bool] = False
    """Whether it finds the codes of block layouts."""
    floats: ClassVar[bool] = True
    """Whether it finds floating-point codes."""
    start: ClassVar[str] = ""
    """The data-free method that a calibrated one starts from, and that answers for it where nothing was calibrated; a data-free
    one's own name."""
    factors: ClassVar[tuple[float, ...]]
    """Factors tried on each group's range, in order."""
    shrinks: ClassVar[tuple[float, ...]] = ()
    """1 / beta of each round of the half-quadratic solver, which goes on from the range; none where it is left as it is."""
    parts: ClassVar[tuple[type[Method], ...]] = ()
    """The methods that it is made of, in their order; itself, where it is one alone."""

    def __init_subclass__(cls, listed: bool = True) -> None:
        if not listed:
            return
        if cls.name in REGISTRY:
            raise TypeError(f"two methods are named {cls.name!r}")
        cls.start, cls.parts = cls.start or cls.name, (cls,)
        REGISTRY[cls.name] = cls

    @classmethod
    def refuses(cls, scheme: Scheme) -> str:
        """Why it does not work for `scheme`, as the end of a sentence; empty where it does."""
        if scheme.layout is not None and not cls.layouts:
            return f"for the blocks of {scheme.layout}"
        if scheme.type == "float" and not cls.floats:
            return "for floating-point codes"
        return "" if scheme.strategy in cls.strategies else f"per {scheme.strategy}"

    @classmethod
    def advice(cls, scheme: Scheme) -> str:
        """What to ask for in place of a scheme that it refuses, as options of the command line."""
        if scheme.layout is not None or (scheme.type == "float" and not cls.floats):
            return ""
        return f"--strategy {' or '.join(cls.strategies)}"

    @classmethod
    def preview_note(cls) -> str:
        """What a preview has to say beside its picture; empty where the picture is what a run writes."""
        if not cls.needs_calibration:
            return ""
        start = REGISTRY[cls.start].title
        return f"{cls.title} is found from samples, in a run; this is what it starts from: {start}."

    @classmethod
    def to_json(cls) -> dict[str, Any]:
        """The row of `qtquant methods`."""
        return {
            "name": cls.name,
            "title": cls.title,
            "description": cls.description,
            "formula": cls.formula,
            "stage": cls.stage,
            "needs_calibration": cls.needs_calibration,
            "strategies": list(cls.strategies),
            "available": True,
            "reason": "",
        }


def composed(folding: type[Method], rounding: type[Method]) -> type[Method]:
    """A folding and then a rounding as one method, which refuses what either refuses. It is in no list."""

    class Composed(Method, listed=False):
        name = f"{folding.name}+{rounding.name}"
        title = f"{folding.title}, then {rounding.title}"
        description = f"{folding.description} {rounding.description}"
        formula = f"{folding.formula}; then {rounding.formula}"
        needs_calibration = folding.needs_calibration or rounding.needs_calibration
        strategies = tuple(one for one in folding.strategies if one in rounding.strategies)
        layouts = folding.layouts and rounding.layouts
        floats = folding.floats and rounding.floats
        start = rounding.start
        factors = rounding.factors
        shrinks = rounding.shrinks
        parts = (folding, rounding)

        @classmethod
        def refuses(cls, scheme: Scheme) -> str:
            return next(filter(None, (part.refuses(scheme) for part in cls.parts)), "")

        @classmethod
        def advice(cls, scheme: Scheme) -> str:
            return next(part.advice(scheme) for part in cls.parts if part.refuses(scheme))

    return Composed
