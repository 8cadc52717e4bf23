"""Previews in two steps."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytestqt.qtbot import QtBot
from safetensors.torch import save_file

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.previewer import Previewer, Request
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work

LAYER = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def large(tmp_path: Path) -> Checkpoint:
    """A tensor too large to be its own sample."""
    torch.manual_seed(0)
    save_file({LAYER: torch.randn(3000, 1024).bfloat16()}, tmp_path / "model.safetensors")
    return open_checkpoint(tmp_path)


def request(checkpoint: Checkpoint, scheme: Scheme | None = None, view: View = View.ABSOLUTE) -> Request:
    return Request(checkpoint, LAYER, scheme or Scheme(), "", view)


class Noted(Verbs):
    """The real engine; notes what each preview was asked with."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def preview(self, *given: Any, **more: Any) -> Work:
        self.asked.append(more)
        return super().preview(*given, **more)


def test_a_sample_answers_first_and_the_exact_picture_follows(qtbot: QtBot, large: Checkpoint) -> None:
    verbs = Noted()
    previewer, answers = Previewer(verbs), []
    previewer.sampled.connect(answers.append)
    previewer.exact.connect(answers.append)
    with qtbot.waitSignal(previewer.exact, timeout=60_000):
        previewer.ask(request(large))
    assert [bool(answer.sampled) for answer in answers] == [True, False]
    with qtbot.waitSignal(previewer.exact, timeout=60_000):
        previewer.ask(request(large, Scheme(bits=3), View.SIGNED))
    assert [more["sample"] for more in verbs.asked] == [True, False, True, False]
    assert verbs.asked[0]["known"] is verbs.asked[1]["known"] is None
    assert verbs.asked[2]["known"] is verbs.asked[3]["known"] is answers[1]
    assert answers[-1].picture.window.view is View.SIGNED


def test_a_newer_request_takes_the_place_of_an_older_one(qtbot: QtBot, large: Checkpoint) -> None:
    previewer, answers = Previewer(Verbs()), []
    previewer.sampled.connect(answers.append)
    previewer.exact.connect(answers.append)
    schemes = [Scheme(bits=bits) for bits in range(2, 8)]
    with qtbot.waitSignal(previewer.exact, timeout=60_000):
        for scheme in schemes:
            previewer.ask(request(large, scheme))
    assert {answer.scheme for answer in answers} == {schemes[-1]}


def test_a_withdrawn_request_is_not_answered(qtbot: QtBot, large: Checkpoint) -> None:
    previewer, answers = Previewer(Verbs()), []
    previewer.sampled.connect(answers.append)
    previewer.exact.connect(answers.append)
    previewer.ask(request(large))
    previewer.cancel()
    qtbot.waitUntil(lambda: not previewer.busy, timeout=60_000)
    assert not answers and previewer.request is None


def test_what_goes_wrong_is_told_once(qtbot: QtBot, large: Checkpoint) -> None:
    class Refusing(Verbs):
        def preview(self, *given: Any, **more: Any) -> Work:
            def work() -> Generator[Event, None, None]:
                yield ChunkDone(LAYER, 1)
                raise PlanError("no", hint="", code="x")

            return work

    previewer, errors = Previewer(Refusing()), []
    previewer.failed.connect(errors.append)
    with qtbot.waitSignal(previewer.failed, timeout=60_000):
        previewer.ask(request(large))
    assert len(errors) == 1 and not previewer.busy
