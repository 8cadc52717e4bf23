"""The columns of a mix: what each set of modules gets and why, and how much of the model each scheme takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qtquant_app.core.budget import Assignment
from qtquant_app.core.quantities import bytes_text, figure, plural, share_text
from qtquant_app.gui.models.rows import Column


@dataclass(frozen=True, slots=True)
class Part:
    """What of a mix one treatment takes."""

    label: str
    modules: int
    bytes: int
    error: float
    share: float
    """Of the bytes, 0 to 1."""


def parts(assignments: Iterable[Assignment]) -> tuple[Part, ...]:
    """A mix summed up by treatment, what takes most bytes first."""
    sums: dict[str, tuple[int, int, float]] = {}
    for one in assignments:
        modules, size, error = sums.get(one.label, (0, 0, 0.0))
        sums[one.label] = modules + len(one.modules), size + one.bytes, error + one.error
    total = sum(size for _, size, _ in sums.values()) or 1
    found = [Part(label, modules, size, error, size / total) for label, (modules, size, error) in sums.items()]
    return tuple(sorted(found, key=lambda part: -part.bytes))


def modules_text(one: Assignment) -> str:
    """The first module, and how many move with it."""
    more = len(one.modules) - 1
    return one.modules[0] + (f" and {plural(more, 'more', 'more')}" if more else "")


ASSIGNMENT_COLUMNS = (
    Column(
        "Modules",
        modules_text,
        lambda a: a.modules,
        "model.layers.88.self_attn.k_proj and 2 more",
        tip=lambda a: ", ".join(a.modules),
        value=lambda a: " ".join(a.modules),
    ),
    Column("Gets", lambda a: a.label, lambda a: a.label, "W4 g128 asym mse"),
    Column("Size", lambda a: bytes_text(a.bytes), lambda a: a.bytes, "88.8 MB", True, unit="bytes"),
    Column("Error", lambda a: figure(a.error), lambda a: a.error, "0.0008888", True),
    Column(
        "Because",
        lambda a: a.reason,
        lambda a: a.reason,
        "W4 g128 asym mse would save 888 kB and add 0.08888 to the error (0.8888 per MB)",
    ),
)
"""Over Assignment."""

PART_COLUMNS = (
    Column("Scheme", lambda p: p.label, lambda p: p.label, "W4 g128 asym mse"),
    Column("Modules", lambda p: f"{p.modules:,}", lambda p: p.modules, "8,888", True),
    Column("Size", lambda p: bytes_text(p.bytes), lambda p: p.bytes, "88.8 MB", True, unit="bytes"),
    Column("Share", lambda p: share_text(p.share, 1), lambda p: p.share, "88.8 %", True),
    Column("Error", lambda p: figure(p.error), lambda p: p.error, "0.0008888", True),
)
"""Over Part."""
