"""Small results to publish, a Hub to publish them on, and what drives a publication."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from qtquant_app.core.events import Event
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama

TOKEN = "hf_made_up_for_a_test_only"
REPO = "someone/small-w4"


def driven(events: Generator[Event, None, Any], told: list[Event] | None = None) -> Any:
    """What the generator returns; its events go to `told`."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if told is not None:
            told.append(event)


def result(folder: Path, recipe: Recipe | None = None) -> tuple[Path, Path]:
    """A small model and a result made from it: their folders."""
    base, output = small_llama(folder / "small", shards=2), folder / "out"
    plan = make_plan(open_checkpoint(base), recipe or Recipe(Scheme(group_size=32)), output=str(output))
    driven(run(plan, RunOptions(str(output))))
    return base, output
