"""What a measured checkpoint can come to, made up; and an engine whose checks follow a script."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace
from math import exp
from typing import TYPE_CHECKING, Any

from qtquant_app.core.budget import Budget, Point, Proof
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Target
from qtquant_app.gui.models.budget_reach import Reach
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work

if TYPE_CHECKING:
    from qtquant_app.engine.budget import Measured

CONFIG = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
SCHEMES = (
    Scheme(2, group_size=64, symmetric=False, method="mse"),
    Scheme(2, group_size=32, symmetric=False, method="mse"),
    Scheme(3, group_size=128, symmetric=False, method="mse"),
    Scheme(3, group_size=64, symmetric=False, method="mse"),
    Scheme(3, group_size=32, symmetric=False, method="mse"),
    Scheme(4, group_size=128, symmetric=False, method="mse"),
    Scheme(4, group_size=64, symmetric=False, method="mse"),
    Scheme(5, group_size=64, symmetric=False, method="mse"),
    Scheme(6, group_size=64, symmetric=False, method="mse"),
    Scheme(8, strategy="channel", group_size=None),
)
_UNIFORM = (
    (1_713_850, 9.57),
    (1_824_450, 8.08),
    (2_054_851, 1.84),
    (2_113_226, 1.56),
    (2_229_962, 1.21),
    (2_451_139, 0.321),
    (2_512_594, 0.249),
    (2_911_978, 0.0388),
    (3_311_402, 0.00613),
    (3_977_375, 0.000391),
)


def reach(points: int = 100) -> Reach:
    """A frontier that falls by half again and again, and the ten usual schemes a little above it."""
    low, high = _UNIFORM[0][0], _UNIFORM[-1][0]
    sizes = [low + round(at * (high - low) / (points - 1)) for at in range(points)]
    return Reach(
        frontier=tuple(Point(size, 9.57 * exp(-10.1 * (size - low) / (high - low))) for size in sizes),
        uniform=tuple(Point(*place, scheme.label) for place, scheme in zip(_UNIFORM, SCHEMES, strict=True)),
        schemes=SCHEMES,
        bits=(2.25, 8.03),
        weights=3_140_000,
        free=16,
        config=CONFIG,
        largest=high,
        around=26_000,
    )


class Slow(Verbs):
    """The real engine, held up: solving and measuring wait at gates, a check answers with `proof` or fails with `fault`."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.texts: list[str] = []
        self.wishes: list[tuple[Any, ...]] = []
        self.solving, self.measuring, self.checking = threading.Event(), threading.Event(), threading.Event()
        for gate in (self.solving, self.measuring, self.checking):
            gate.set()
        self.proof: Proof | None = None
        self.fault: Exception | None = None

    def weigh(self, checkpoint: Any, recipe: Any, *choices: Any, **more: Any) -> Work:
        self.wishes.append((recipe, *choices))
        return _held(super().weigh(checkpoint, recipe, *choices, **more), self.measuring)

    def solve(self, measured: Measured, target: Target) -> Work:
        self.targets.append(target)
        return _held(super().solve(measured, target), self.solving, busy=True)

    def check(self, measured: Measured, budget: Budget, text: str) -> Work:
        self.texts.append(text)

        def work() -> Generator[Event, None, Budget]:
            yield RunStarted(1, 10)
            if self.fault is not None:
                raise self.fault
            return replace(budget, proof=self.proof)

        return _held(work, self.checking)


def _held(work: Work, gate: threading.Event, *, busy: bool = False) -> Work:
    """`work` that first waits for `gate`; `busy` work cannot be cancelled meanwhile, like arithmetic."""

    def waiting() -> Generator[Event, None, Any]:
        while not gate.wait(0.005):
            if not busy:
                yield ChunkDone("waiting", 0)
        return (yield from work())

    return waiting
