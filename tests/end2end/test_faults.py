"""Every call that touches a disk fails once, and at each the program stops once: nothing wrong is called done, nothing is lost."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qtquant_app.core.errors import QtQuantError, VerifyError
from qtquant_app.core.events import ShardWritten
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import commit, filesystem, room
from qtquant_app.engine.journal import NAME as JOURNAL
from qtquant_app.engine.output import REPLACED, partial_of
from qtquant_app.engine.quantize import run
from qtquant_app.engine.verify import verify
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, write_checkpoint
from tests.driving import plan_for, result, weight_bytes
from tests.faulty_disk import CALLS, FaultyDisk, Stopped, faulty

CHANGING = ("rename", "remove", "fsync_folder", "truncate", "fsync", "make_folder")
FAULTS = (errno.EIO, errno.ENOSPC, None)
NAMES = ("error", "no room", "stop")


@pytest.fixture(autouse=True)
def commit_and_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "SECONDS_BETWEEN_COMMITS", 0.0)
    monkeypatch.setattr(room, "SECONDS", 0.0)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two shards of six tensors, and a file that is carried over into a folder of its own."""
    keep = ("embed_tokens", "layers.0.self_attn.q_proj", "layers.0.mlp", "lm_head")
    tensors = {name: value for name, value in llama_tensors(1).items() if any(part in name for part in keep)}
    source = write_checkpoint(tmp_path_factory.mktemp("source") / "m", tensors, {**LLAMA_CONFIG}, shards=2)
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates/tool.jinja").write_text("{{ messages }}")
    return plan_for(source, Scheme(bits=4, group_size=32, symmetric=False))


@pytest.fixture(scope="module")
def whole(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("whole") / "out"
    result(run(plan, RunOptions(str(output), threads=1)))
    return weight_bytes(output)


def test_every_function_that_touches_a_disk_can_fail() -> None:
    public = {name for name, value in vars(filesystem).items() if callable(value) and not name.startswith("_")}
    defined = {name for name in public if getattr(filesystem, name).__module__ == filesystem.__name__}
    assert defined == {*CALLS, "close"}


def _contents(folder: Path) -> dict[str, bytes]:
    """The files of a result, less what a run that was stopped right after its end had no time to remove."""
    return {name: data for name, data in weight_bytes(folder).items() if name != JOURNAL}


def _check_between(output: Path, *results: dict[str, bytes]) -> None:
    """What holds at every moment, whatever has just happened: `results` are what may stand at OUT."""
    partial = partial_of(output)
    if output.exists():
        assert _contents(output) in results and result(verify(output)).ok
    elif len(results) > 1:
        assert _contents(partial / REPLACED) == results[1]
    if partial.exists():
        with pytest.raises(VerifyError, match="unfinished"):
            result(verify(partial))
        _check_under_another_name(partial, results[0])


def _check_under_another_name(partial: Path, whole: dict[str, bytes]) -> None:
    """Without its name nothing but its content says that it is unfinished."""
    other = partial.rename(partial.with_name("other"))
    try:
        found = result(verify(other))
    except VerifyError:
        pass
    else:
        assert not found.ok or _contents(other) == whole
    finally:
        other.rename(partial)


def _fail(plan: Plan, options: RunOptions, disk: FaultyDisk) -> str:
    """Runs on a failing disk; how it ended."""
    with faulty(disk):
        try:
            result(run(plan, options))
        except Stopped:
            return "stopped"
        except QtQuantError as error:
            assert error.code in ("write", "read", "disk-full", "mismatch"), error.code
            names = [options.output, *plan.copied, *(t.name for t in plan.tensors), ".safetensors"]
            assert any(name in error.message for name in names), error.message
            return "failed"
    return "done"


def _fail_everywhere(plan: Plan, options: RunOptions, fault: int | None, only: Iterable[str] = CALLS) -> Iterator[str]:
    """One run for each call it makes, which fails there; yields how it ended, so that the caller can look and clear up.

    Calls are counted by function: threads take turns, so that the k-th of all is not the same in every run.
    """
    for name in only:
        for k in range(1, 10_000):
            disk = FaultyDisk(k, fault, {name})
            ended = _fail(plan, options, disk)
            if disk.failed:
                assert ended != "stopped" or fault is None
                yield ended
                continue
            assert ended == "done" and (k > 1 or (options.resume and name == "reserve"))
            yield ended
            break


def _resume(plan: Plan, output: Path) -> None:
    """Goes on with what is there; it is refused, by name, where the result was in place already."""
    try:
        result(run(plan, RunOptions(str(output), resume=True, threads=1)))
    except QtQuantError as refused:
        assert refused.code == "exists"


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
def test_a_fault_at_any_call_loses_nothing_and_nothing_is_called_done_that_is_not(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, fault: int | None
) -> None:
    output = tmp_path / "out"
    for ended in _fail_everywhere(plan, RunOptions(str(output), threads=1), fault):
        assert ended != "done" or output.exists()
        _check_between(output, whole)
        _resume(plan, output)
        assert _contents(output) == whole and not partial_of(output).exists()
        shutil.rmtree(output)


def test_a_stop_at_any_call_of_a_resumed_run_loses_nothing(plan: Plan, whole: dict[str, bytes], tmp_path: Path) -> None:
    output, kept = tmp_path / "out", tmp_path / "kept"
    events = run(plan, RunOptions(str(output), threads=1))
    while not isinstance(next(events), ShardWritten):
        pass
    events.close()
    partial_of(output).rename(kept)
    shutil.copytree(kept, partial_of(output))
    for _ in _fail_everywhere(plan, RunOptions(str(output), resume=True, threads=1), None):
        _check_between(output, whole)
        _resume(plan, output)
        assert _contents(output) == whole and not partial_of(output).exists()
        shutil.rmtree(output)
        shutil.copytree(kept, partial_of(output))


@pytest.mark.parametrize("fault", FAULTS[::2], ids=NAMES[::2])
def test_a_fault_while_an_older_result_is_replaced_leaves_the_old_one_or_the_new_one(
    plan: Plan, whole: dict[str, bytes], tmp_path: Path, fault: int | None
) -> None:
    output, old = tmp_path / "out", tmp_path / "old"
    result(run(plan_for(plan.source, Scheme(bits=8, group_size=64)), RunOptions(str(old))))
    shutil.copytree(old, output)
    older = weight_bytes(old)
    options = RunOptions(str(output), overwrite=True, threads=1)
    for _ in _fail_everywhere(plan, options, fault, only=CHANGING):
        _check_between(output, whole, older)
        result(run(plan, replace(options, resume=partial_of(output).exists())))
        assert weight_bytes(output) == whole
        assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "out"]
        shutil.rmtree(output)
        shutil.copytree(old, output)
