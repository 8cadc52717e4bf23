"""What the knobs of a scheme say together: always a scheme that can exist. What was turned last stands, and the rest gives way."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qtquant_app.core.layouts import LAYOUTS, MIXTURE
from qtquant_app.core.scheme import MAX_BITS, Activations, Scheme, Strategy

KINDS = (("int", "Integer"), ("float", "Floating point"), ("layout", "GGUF block"))
"""Values of the first knob, and their titles."""

FIRST_LAYOUT = "Q4_K"
INT8_ACTIVATIONS = Scheme(bits=8, strategy="channel", group_size=None, activations="int8")
FP8 = Scheme(bits=8, type="float", strategy="channel", group_size=None)
_USUAL_GROUP = 128


@dataclass(frozen=True, slots=True)
class Knobs:
    """Where each knob stands, whether or not they go together."""

    kind: str
    bits: int
    strategy: Strategy
    group_size: int
    symmetric: bool
    method: str
    layout: str


def kind_of(scheme: Scheme) -> str:
    """Where the first knob stands for `scheme`."""
    return "layout" if scheme.layout is not None else scheme.type


def knobs_of(scheme: Scheme, group_size: int = _USUAL_GROUP) -> Knobs:
    """Where the knobs stand for `scheme`; `group_size` is shown where it has none."""
    return Knobs(
        kind_of(scheme),
        scheme.bits,
        scheme.strategy,
        scheme.group_size or group_size,
        scheme.symmetric,
        scheme.method,
        scheme.layout or FIRST_LAYOUT,
    )


def scheme_of(knobs: Knobs, before: Scheme) -> Scheme:
    """The scheme that the knobs say; `before` is the one they said until now."""
    if knobs.kind == "layout":
        return Scheme.of_layout(knobs.layout, knobs.method)
    if knobs.kind == "float":
        return _float(knobs, before)
    strategy: Strategy = "group" if knobs.strategy == "block" else knobs.strategy
    return Scheme(
        bits=min(knobs.bits, MAX_BITS),
        strategy=strategy,
        group_size=knobs.group_size if strategy == "group" else None,
        symmetric=knobs.symmetric,
        method=knobs.method,
    )


def _float(knobs: Knobs, before: Scheme) -> Scheme:
    """Four bits mean groups, and groups mean four bits: the one of the two that was changed decides."""
    came = kind_of(before) == "float"
    four = knobs.strategy == "group" if came and knobs.bits == before.bits else knobs.bits < 6
    if four:
        return Scheme(bits=4, type="float", group_size=16 if knobs.group_size <= 16 else 32, method=knobs.method)
    strategy: Strategy = "channel" if knobs.strategy == "group" else knobs.strategy
    return replace(FP8, strategy=strategy, group_size=128 if strategy == "block" else None, method=knobs.method)


def with_activations(scheme: Scheme, wanted: Activations, free: Scheme) -> Scheme:
    """`scheme` with activations rounded as `wanted`, which asks for weights that go with them; `free` is what leaving them goes
    back to."""
    if wanted == "int8":
        return replace(INT8_ACTIVATIONS, method=scheme.method)
    if wanted == "fp8":
        weights = scheme if scheme.type == "float" and scheme.bits == 8 else replace(FP8, method=scheme.method)
        return replace(weights, activations="fp8")
    return free


def layout_titles() -> list[tuple[str, str]]:
    """The block layouts, one by one and then mixed as llama.cpp does, with what a weight takes."""
    types = [(name, f"{name} · {layout.bits_per_weight:g} bits") for name, layout in LAYOUTS.items()]
    return [*types, *((MIXTURE + name, f"{name} · mixed as llama.cpp does") for name in _MIXED)]


_MIXED = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0")
