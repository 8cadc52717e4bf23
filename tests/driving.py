"""Drives the engine in tests as a front end would."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import RunReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint

T = TypeVar("T")


def finish(events: Generator[Event, None, T]) -> tuple[list[Event], T]:
    """Every event, and the result."""
    seen: list[Event] = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as stop:
            return seen, stop.value


def result(events: Generator[Event, None, T]) -> T:
    return finish(events)[1]


def plan_for(source: Path | str, scheme: Scheme | None = None, format: str = "compressed-tensors") -> Plan:
    recipe = Recipe(default=scheme or Scheme(group_size=32), format=format)
    return make_plan(open_checkpoint(source), recipe, device="cpu")


def quantize(
    source: Path | str, output: Path, scheme: Scheme | None = None, format: str = "compressed-tensors"
) -> RunReport:
    return result(run(plan_for(source, scheme, format), RunOptions(str(output))))


def weight_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a result, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
