"""Where a tensor stands in a model, by its name: in which block, and as which module of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ANY = "*"
"""Stands for the number of an expert in the path of a module."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A stack of blocks, the block's number in it, and the path of the module in the block."""

    stack: str
    depth: int | None
    """None outside of all blocks; the stack is empty there."""
    path: str


def spot(name: str) -> Spot:
    """The spot of a tensor. What comes up to the first number is a block; further numbers are those of experts, which share a path.

    The name of the parameter goes unsaid where it is the weight.
    """
    parts = name.split(".")
    at = next((i for i, part in enumerate(parts[:-1]) if _number(part)), None)
    if at is None:
        return Spot("", None, _path(parts))
    return Spot(".".join(parts[:at]), int(parts[at]), _path(parts[at + 1 :]))


def _path(parts: Sequence[str]) -> str:
    kept = parts[:-1] if len(parts) > 1 and parts[-1] == "weight" else parts
    return ".".join(ANY if _number(part) else part for part in kept)


def _number(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < 10
