"""The scheme that a format is usually asked for, and the nearest to one that it cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

from qtquant_app.core.layouts import MIXTURE
from qtquant_app.core.scheme import Scheme

_MIXED = {2: "Q2_K", 3: "Q3_K_M", 4: "Q4_K_M", 5: "Q5_K_M", 6: "Q6_K", 7: "Q8_0", 8: "Q8_0"}
"""The mixture of so many bits."""


@dataclass(frozen=True, slots=True)
class _Habit:
    """What a format of plain integer codes takes."""

    usual: Scheme
    bits: tuple[int, ...]
    groups: tuple[int, ...] = ()
    """Group sizes; any where empty."""
    strategies: tuple[str, ...] = ("group",)


_HABITS = {
    "awq": _Habit(Scheme(4, symmetric=False), (4,)),
    "gptq": _Habit(Scheme(4), (2, 3, 4, 8), strategies=("group", "channel")),
    "mlx": _Habit(Scheme(4, group_size=64, symmetric=False), (2, 3, 4, 5, 6, 8), (32, 64, 128)),
    "qtquant": _Habit(Scheme(4), (2, 4, 8), strategies=("group", "channel", "tensor")),
}


def usual(format: str) -> Scheme:
    """What `format` is written with where nothing is asked for: llama.cpp's Q4_K_M, MLX's groups of 64, AWQ's zero points."""
    if format == "gguf":
        return Scheme.of_layout(MIXTURE + _MIXED[4])
    return _HABITS[format].usual if format in _HABITS else Scheme()


def suited(scheme: Scheme, format: str) -> Scheme:
    """`scheme` itself where `format` holds such codes, else what it is usually written with at about as many bits."""
    if format == "gguf":
        return scheme if scheme.layout is not None else Scheme.of_layout(MIXTURE + _MIXED[scheme.bits])
    if format not in _HABITS:
        return Scheme(min(scheme.bits, 8)) if scheme.layout is not None else scheme
    habit = _HABITS[format]
    if _holds(habit, scheme):
        return scheme
    bits = min(habit.bits, key=lambda bits: (abs(bits - scheme.bits), -bits))
    return Scheme.from_json({"bits": bits}, habit.usual)


def _holds(habit: _Habit, scheme: Scheme) -> bool:
    if scheme.layout is not None or scheme.type != "int" or scheme.activations != "none":
        return False
    grouped = not habit.groups or scheme.group_size in habit.groups
    return scheme.bits in habit.bits and scheme.strategy in habit.strategies and grouped
