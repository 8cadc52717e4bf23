"""A model writes samples for itself: the same for a seed, none of them empty, kept over a stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.events import Calibrated
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.cost import writing_share
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.samples.own_words import LONGEST, own_words
from qtquant_app.engine.source import open_checkpoint
from tests.driving import result
from tests.end2end import tiny_models
from tests.unit.engine.calibrate.running import files_of, running
from tests.unit.engine.walk.nets import saved


def sample() -> Checkpoint:
    return open_checkpoint("sample")


def test_what_a_model_writes_depends_on_the_seed_alone() -> None:
    first, again = (result(own_words(sample(), 3, 20, 0, "cpu")) for _ in range(2))
    other = result(own_words(sample(), 3, 20, 1, "cpu"))
    assert first.shape == (3, 20)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_how_much_is_written_is_told() -> None:
    told = list(own_words(sample(), 3, 20, 0, "cpu"))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_progress_goes_from_what_is_written_on_to_the_blocks(tmp_path: Path) -> None:
    recipe = Recipe(default=Scheme(2, group_size=32, method="gptq"), format="qtquant")
    plan = make_plan(sample(), recipe, calibration=Calibration(samples=2, length=24, own=4), device="cpu")
    moved = [event for event in running(plan, tmp_path / "out") if isinstance(event, Calibrated)]
    assert [event.done for event in moved] == sorted(event.done for event in moved)
    assert len({event.total for event in moved}) == 1
    last = [event for event in moved if "own" in event.text][-1]
    assert plan.calibration is not None
    assert last.done / last.total == pytest.approx(writing_share(plan.tensors, plan.calibration, "cpu"), abs=1e-6)
    assert 0 < last.done < moved[-1].done <= moved[-1].total


def test_a_long_sample_is_made_of_several_texts() -> None:
    found = result(own_words(sample(), 2, 300, 0, "cpu")).flatten()
    beginnings = found[::LONGEST]
    assert found.shape == (600,)
    assert bool((beginnings == found[0]).all())
    assert int((found == found[0]).sum()) == len(beginnings)


def test_a_run_that_is_stopped_keeps_what_was_written(tmp_path: Path) -> None:
    recipe = Recipe(default=Scheme(2, group_size=32, method="gptq"), format="qtquant")
    calibration = Calibration(samples=2, length=24, own=2)
    plan = make_plan(sample(), recipe, calibration=calibration, device="cpu")
    result(running(plan, tmp_path / "whole"))
    events = running(plan, tmp_path / "out")
    for event in events:
        if isinstance(event, Calibrated) and "own" not in event.text:
            events.close()
            break
    written = tmp_path / "out.partial" / "solved" / "own"
    before = written.stat().st_mtime_ns
    events = running(plan, tmp_path / "out", resume=True)
    assert not any(isinstance(event, Calibrated) and "own" in event.text for event in events)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert before


def test_a_model_that_writes_no_text_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = Recipe(default=Scheme(2, group_size=32, method="gptq"), format="qtquant")
    calibration = Calibration(source="random", samples=2, own=2)
    plan = make_plan(saved(tiny_models.vit(), tmp_path / "vit"), recipe, calibration=calibration, device="cpu")
    with pytest.raises(EvaluateError, match="writes no text") as told:
        result(running(plan, tmp_path / "out"))
    assert "--own-samples" in told.value.hint
