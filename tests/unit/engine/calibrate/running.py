"""Runs of calibrated methods on small models."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import RunReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run

SAMPLES = Calibration(source="random", samples=6, length=24)
"""Enough to tell columns apart, little enough to be quick."""


def planned(
    checkpoint: Checkpoint, method: str, bits: int = 2, rules: tuple[Rule, ...] = (), format: str = "qtquant"
) -> Plan:
    recipe = Recipe(default=Scheme(bits, group_size=32, method=method), rules=rules, format=format)
    return make_plan(checkpoint, recipe, calibration=SAMPLES, device="cpu")


def running(plan: Plan, output: Path, *, resume: bool = False) -> Generator[Event, None, RunReport]:
    return run(plan, RunOptions(str(output), resume=resume))


def files_of(folder: Path) -> dict[str, bytes]:
    """What a result holds, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
