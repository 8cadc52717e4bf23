"""What a plan may take: so many bytes, bits per weight, what fits a card beside its context; or how good it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from qtquant_app.core.errors import UsageError
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import bytes_text, figure
from qtquant_app.core.scheme import Scheme


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a device that has to hold the weights and what a running model needs besides."""

    bytes: int
    """Of the device."""
    context: int = 8192
    """Tokens of a sequence whose keys and values are kept."""
    sequences: int = 1
    kv_bits: int = 16
    """Bits of one element of the keys and values: 16, 8 or 4."""

    def __post_init__(self) -> None:
        if not all(isinstance(n, int) and n > 0 for n in (self.bytes, self.context, self.sequences)):
            raise _bad("the memory of a device, its context and its sequences are positive whole numbers")
        if self.kv_bits not in (4, 8, 16):
            raise _bad(f"keys and values of {self.kv_bits} bits are not kept by any runtime: 16, 8 or 4")

    @property
    def text(self) -> str:
        many = "" if self.sequences == 1 else f" for each of {self.sequences} sequences"
        return f"{bytes_text(self.bytes)} of memory with {self.context:,} tokens of context{many}"

    def to_json(self) -> dict[str, Any]:
        return {
            "bytes": self.bytes,
            "context": self.context,
            "sequences": self.sequences,
            "kv_bits": self.kv_bits,
        }


@dataclass(frozen=True, slots=True)
class Target:
    """One of: bytes on disk (`Plan.output_bytes`), bits per quantized weight (`Plan.bits_per_weight`), a device's memory,
    the most predicted error, or a scheme that the mix has to be as good as when it is given to all.

    The first three ask for the least error, the last two for the fewest bytes. Raises UsageError where none or several are
    given, or where a number is not positive.
    """

    bytes: int | None = None
    bits_per_weight: float | None = None
    memory: Memory | None = None
    error: float | None = None
    like: Scheme | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.bytes, self.bits_per_weight, self.memory, self.error, self.like) if v is not None]
        if len(given) != 1:
            raise _bad("a budget is a size, bits per weight, a device's memory or a quality: one of them")
        value = given[0]
        if not isinstance(value, (Memory, Scheme)) and (isinstance(value, bool) or not isfinite(value) or value <= 0):
            raise _bad(f"{value!r} is no budget: it must be a positive number")

    @property
    def text(self) -> str:
        if self.bytes is not None:
            return f"{bytes_text(self.bytes)} ({self.bytes:,} bytes)"
        if self.memory is not None:
            return self.memory.text
        if self.error is not None:
            return f"a predicted error of at most {figure(self.error)}"
        if self.like is not None:
            return f"as good as {self.like.label} for all"
        return f"{self.bits_per_weight:.6g} bits per weight"

    def holds(self, plan: Plan) -> bool:
        """Whether the plan stays within the bytes or the bits per weight."""
        if self.bytes is not None:
            return plan.output_bytes <= self.bytes
        return self.bits_per_weight is not None and plan.bits_per_weight <= self.bits_per_weight

    def to_json(self) -> dict[str, Any]:
        return {
            "bytes": self.bytes,
            "bits_per_weight": self.bits_per_weight,
            "memory": None if self.memory is None else self.memory.to_json(),
            "error": self.error,
            "like": None if self.like is None else self.like.to_json(),
        }


def _bad(message: str) -> UsageError:
    words = "--target-size 4.2GB, --target-bpw 3.5, --target-memory 8GB or --target-quality 'W4 g64 sym'"
    return UsageError(message, hint=f"use {words}", code="budget")
