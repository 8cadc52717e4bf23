"""A model on a made-up Hub, in shards of one size, and the same model here."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import RunReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, write_checkpoint
from tests.hub.server import HubServer

ID = "org/sharded"
SHARDS = 8
WIDTH = 256


class Model(NamedTuple):
    folder: Path
    shards: tuple[str, ...]
    size: int
    """Bytes of each shard."""


def sharded(folder: Path, hub: HubServer, width: int = WIDTH) -> Model:
    """Two square matrices a shard; on the Hub as ID too."""
    random = torch.Generator().manual_seed(1)
    names = [f"model.layers.{layer}.mlp.{part}_proj.weight" for layer in range(SHARDS) for part in ("gate", "up")]
    tensors = {name: (torch.randn(width, width, generator=random) * 0.05).bfloat16() for name in names}
    config = {**LLAMA_CONFIG, "hidden_size": width, "intermediate_size": width, "num_hidden_layers": SHARDS}
    write_checkpoint(folder, tensors, config, SHARDS)
    hub.add(ID, {path.name: path.read_bytes() for path in folder.iterdir()})
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    return Model(folder, tuple(files), (folder / files[0]).stat().st_size)


def recipe() -> Recipe:
    return Recipe(Scheme(bits=4, group_size=64))


def planned(source: str | Path) -> Plan:
    return make_plan(open_checkpoint(source), recipe(), device="cpu")


def finished(events: Generator[Event, None, RunReport]) -> tuple[RunReport, list[Event]]:
    """The report, and all events before it."""
    found: list[Event] = []
    while True:
        try:
            found.append(next(events))
        except StopIteration as end:
            return end.value, found


def quantized(source: str | Path, output: Path, **options: object) -> tuple[RunReport, list[Event]]:
    """A run of `source` into `output`."""
    return finished(run(planned(source), RunOptions(str(output), **options)))  # type: ignore[arg-type]


def contents(folder: Path, leave: Iterable[str] = ("qtquant.json",)) -> dict[str, bytes]:
    """All files of a result by name, but those that name their source."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in leave}
