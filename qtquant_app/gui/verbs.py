"""The engine's verbs as work for Jobs. The engine is imported inside the worker, so the window starts without it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.catalog import Catalog, read_catalog
from qtquant_app.jobs.job import Work, once


class Verbs:
    """Everything the window asks of the engine. Tests put scripted events in its place."""

    def catalog(self) -> Work:
        """Work that returns a Catalog."""

        def read() -> Catalog:
            return read_catalog()

        return once(read)

    def open(self, path: str) -> Work:
        """Work that returns the Checkpoint at `path` ("sample" is the built-in one)."""

        def read() -> Checkpoint:
            from qtquant_app.engine.source import open_checkpoint

            return open_checkpoint(path)

        return once(read)

    def plan(self, checkpoint: Checkpoint, recipe: Recipe, output: str | None, device: str) -> Work:
        """Work that returns the Plan, or fails with the planner's refusal."""

        def make() -> Plan:
            from qtquant_app.engine.planner import make_plan

            return make_plan(checkpoint, recipe, output=output, device=device)

        return once(make)

    def preview(self, checkpoint: Checkpoint, layer: str, scheme: Scheme, format: str) -> Work:
        """Work that returns the Preview of the tensor `layer` under `scheme`, its size as `format` stores it."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.preview import preview

            return (yield from preview(checkpoint, layer, scheme, format=format))

        return work

    def run(self, plan: Plan, options: RunOptions) -> Work:
        """Work that carries the plan out and returns the RunReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.quantize import run

            return (yield from run(plan, options))

        return work

    def verify(self, folder: str, base: str | None) -> Work:
        """Work that reopens `folder` and returns the VerifyReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.verify import verify

            return (yield from verify(folder, base))

        return work
