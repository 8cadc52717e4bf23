"""A run is gone on with only where the same bytes come out; what differs is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qtquant_app.core.errors import PlanError, QtQuantError, SourceError
from qtquant_app.core.events import Warned
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import lock
from qtquant_app.engine.journal import NAME as JOURNAL
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.run_marks import RunMarks, check_same, marks_of
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import finish, plan_for, result, weight_bytes

SCHEME = Scheme(bits=4, group_size=32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "m", shards=2)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def begun(source: Path, output: Path) -> Plan:
    """The plan of a run that was stopped on its way."""
    plan = plan_for(source, SCHEME)
    events = run(plan, RunOptions(str(output)))
    for _ in range(12):
        next(events)
    events.close()
    return plan


def _planned(source: Path, recipe: Recipe, **options: int) -> Plan:
    return make_plan(open_checkpoint(source), recipe, device="cpu", **options)


def _refused(plan: Plan, output: Path) -> QtQuantError:
    before = {path.name: path.read_bytes() for path in (output.parent / "out.partial").iterdir()}
    with pytest.raises(QtQuantError) as refused:
        result(run(plan, RunOptions(str(output), resume=True)))
    assert refused.value.hint
    assert {path.name: path.read_bytes() for path in (output.parent / "out.partial").iterdir()} == before
    return refused.value


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (Recipe(default=Scheme(bits=3, group_size=32)), "default: W4 g32 sym \u2192 W3 g32 sym"),
        (Recipe(default=SCHEME, format="qtquant"), "format: compressed-tensors \u2192 qtquant"),
        (Recipe(default=SCHEME, rules=(Rule("*.down_proj", "keep"),)), "rule added: *.down_proj: keep"),
        (Recipe(default=SCHEME, ignore=("*.o_proj",)), "ignored: *.o_proj"),
    ],
)
def test_another_recipe_is_refused_and_the_difference_named(
    source: Path, output: Path, begun: Plan, recipe: Recipe, says: str
) -> None:
    refused = _refused(_planned(source, recipe), output)
    assert isinstance(refused, PlanError) and refused.code == "other-plan" and says in refused.message


def test_another_seed_is_refused_by_name(source: Path, output: Path, begun: Plan) -> None:
    assert "seed: 0 \u2192 9" in _refused(_planned(source, Recipe(default=SCHEME), seed=9), output).message


def test_recipes_that_decide_the_same_go_on_with_each_others_runs(source: Path, output: Path, tmp_path: Path) -> None:
    rules = (Rule("*.q_proj", Scheme(bits=8, group_size=32)), Rule("*.k_proj", "keep"))
    one, two = (Recipe(default=SCHEME, rules=order) for order in (rules, rules[::-1]))
    result(run(_planned(source, two), RunOptions(str(tmp_path / "whole"))))
    events = run(_planned(source, one), RunOptions(str(output)))
    for _ in range(12):
        next(events)
    events.close()
    result(run(_planned(source, two), RunOptions(str(output), resume=True)))
    assert weight_bytes(output) == weight_bytes(tmp_path / "whole")


def _touch(path: Path) -> None:
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1000))


def _rewrite_in_secret(path: Path) -> None:
    """Another fine-tune of the same shapes that even has the same time."""
    time = path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[-4000:] = bytes(byte ^ 1 for byte in data[-4000:])
    path.write_bytes(data)
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize(
    ("change", "says"), [(_touch, "was written at"), (_rewrite_in_secret, "holds other bytes")], ids=["time", "bytes"]
)
def test_a_source_that_was_replaced_is_refused_by_the_name_of_the_file(
    source: Path, output: Path, begun: Plan, change: Callable[[Path], None], says: str
) -> None:
    change(source / "model-00002-of-00002.safetensors")
    refused = _refused(plan_for(source, SCHEME), output)
    assert isinstance(refused, SourceError) and refused.code == "source-changed"
    assert f"model-00002-of-00002.safetensors {says}" in refused.message


def test_another_config_is_named(source: Path, output: Path, begun: Plan) -> None:
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"rope_theta": 5.0}))
    assert "config.json would not be the same" in _refused(plan_for(source, SCHEME), output).message


@pytest.mark.parametrize(("part", "says"), [("arithmetic", "arithmetic"), ("layout", "layout")])
def test_a_version_that_would_give_other_bytes_is_refused_by_name(
    source: Path, begun: Plan, tmp_path: Path, part: str, says: str
) -> None:
    now = marks_of(begun, open_checkpoint(source))
    was = replace(now, versions={"qtquant": "0.0.1"}, **{part: 0})
    with pytest.raises(PlanError, match=rf"QtQuant 0\.0\.1, whose {says}") as refused:
        check_same(was, now, tmp_path)
    assert refused.value.code == "other-version"


def test_another_device_is_refused_and_another_card_is_not(source: Path, begun: Plan, tmp_path: Path) -> None:
    now = replace(marks_of(begun, open_checkpoint(source)), device="cuda:0")
    check_same(replace(now, device="cuda:1"), now, tmp_path)
    with pytest.raises(PlanError, match="on the device cpu") as refused:
        check_same(replace(now, device="cpu"), now, tmp_path)
    assert refused.value.code == "other-device" and "--device cpu" in refused.value.hint


def test_a_policy_for_bad_weights_may_be_eased_and_not_changed(source: Path, begun: Plan, tmp_path: Path) -> None:
    now = marks_of(begun, open_checkpoint(source))
    repairing = replace(now, recipe={**now.recipe, "nonfinite": "repair"})
    check_same(now, repairing, tmp_path)
    with pytest.raises(PlanError, match="not finite: repair \u2192 refuse"):
        check_same(repairing, now, tmp_path)


def test_versions_that_decide_nothing_are_kept_and_not_compared(source: Path, begun: Plan, tmp_path: Path) -> None:
    now = marks_of(begun, open_checkpoint(source))
    assert {"qtquant", "numpy", "numba"} == set(now.versions)
    check_same(replace(now, versions={"qtquant": "0.1", "numpy": "1.0"}), now, tmp_path)


def test_marks_survive_json(source: Path, begun: Plan) -> None:
    marks = marks_of(begun, open_checkpoint(source))
    assert RunMarks.from_json(json.loads(json.dumps(marks.to_json()))) == marks


def test_a_source_that_changes_during_the_run_ends_it_by_name(source: Path, output: Path) -> None:
    events = run(plan_for(source, SCHEME), RunOptions(str(output), verify="none"))
    next(events)
    _touch(source / "model-00001-of-00002.safetensors")
    with pytest.raises(SourceError, match=r"model-00001-of-00002\.safetensors has changed while") as refused:
        finish(events)
    assert refused.value.code == "source-changed" and not output.exists()


def test_a_second_run_into_one_output_is_refused_with_the_process_that_writes_it(source: Path, output: Path) -> None:
    plan = plan_for(source, SCHEME)
    first = run(plan, RunOptions(str(output)))
    next(first)
    for options in (RunOptions(str(output), resume=True), RunOptions(str(output), overwrite=True)):
        with pytest.raises(PlanError, match=rf"another run is writing .*process {os.getpid()} on ") as refused:
            result(run(plan, options))
        assert refused.value.code == "in-use"
    assert finish(first)[1].verified
    with pytest.raises(PlanError, match="exists"):
        result(run(plan, RunOptions(str(output))))


def test_a_second_program_is_refused_while_the_first_one_writes(source: Path, output: Path) -> None:
    first = run(plan_for(source, SCHEME), RunOptions(str(output)))
    next(first)
    words = [sys.executable, "-m", "qtquant_app", "quantize", str(source), "-o", str(output), "--group-size", "32"]
    second = subprocess.run(
        [*words, "--overwrite"], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert second.returncode == 2 and f"process {os.getpid()} on " in second.stderr
    assert finish(first)[1].verified


def test_a_drive_that_knows_no_locks_is_told_and_used(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_lock_handle", lambda handle: False)
    events, report = finish(run(plan_for(source, SCHEME), RunOptions(str(output))))
    assert report.verified
    assert [event.code for event in events if isinstance(event, Warned)].count("no-lock") == 1


def test_a_damaged_journal_is_told_and_gone_on_with(source: Path, output: Path, begun: Plan) -> None:
    path = output.parent / "out.partial" / JOURNAL
    path.write_bytes(path.read_bytes()[:-5])
    events, report = finish(run(begun, RunOptions(str(output), resume=True)))
    assert report.verified and "journal-torn" in {event.code for event in events if isinstance(event, Warned)}
