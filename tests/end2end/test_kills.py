"""Runs killed by SIGKILL at random moments, resumed and killed again: the command line's own runs, in processes of their own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qtquant_app.core.errors import VerifyError
from qtquant_app.engine.journal import NAME as JOURNAL
from qtquant_app.engine.journal import read_journal
from qtquant_app.engine.output import REPLACED, partial_of
from qtquant_app.engine.verify import verify
from tests.checkpoints import LLAMA_CONFIG, write_checkpoint
from tests.driving import result, weight_bytes
from tests.killing import Killer, killer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has neither fork nor SIGKILL")

KILLS = 25
SCHEME = ("--bits", "4", "--group-size", "64", "--asymmetric", "--device", "cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards, 60 matrices, 65 million bytes."""
    random_ = torch.Generator().manual_seed(5)
    tensors = {
        f"model.layers.{block}.mlp.{name}_proj.weight": torch.randn((768, 704), generator=random_).to(torch.bfloat16)
        for block in range(20)
        for name in ("gate", "up", "down")
    }
    return write_checkpoint(tmp_path_factory.mktemp("source") / "m", tensors, LLAMA_CONFIG, shards=4)


@pytest.fixture(scope="module")
def whole_folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the undisturbed result comes to lie."""
    return tmp_path_factory.mktemp("whole") / "out"


@pytest.fixture(scope="module")
def runs(source: Path, whole_folder: Path) -> Iterator[Killer]:
    with killer(["quantize", str(source), "-o", str(whole_folder), *SCHEME]) as started:
        yield started


@pytest.fixture(scope="module")
def whole(source: Path, runs: Killer, whole_folder: Path) -> tuple[dict[str, bytes], float]:
    """The undisturbed result, and the seconds that a run takes once the kernels are there."""
    before = weight_bytes(whole_folder)
    status, seconds = runs.run(["quantize", str(source), "-o", str(whole_folder), *SCHEME, "--overwrite"])
    assert status == 0 and weight_bytes(whole_folder) == before
    return before, seconds


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in weight_bytes(folder).items() if name != JOURNAL}


def _check_after_a_kill(output: Path, *results: dict[str, bytes]) -> None:
    """`results` are what may stand at OUT; nothing that is not one of them is taken for whole, whatever it is called."""
    partial = partial_of(output)
    assert {path.name for path in output.parent.iterdir()} <= {output.name, partial.name}
    if output.exists():
        assert _contents(output) in results and result(verify(output)).ok
    elif len(results) > 1:
        assert _contents(partial / REPLACED) == results[1]
    if partial.exists():
        with pytest.raises(VerifyError, match="unfinished"):
            result(verify(partial))
        other = partial.rename(output.with_name("other"))
        try:
            assert result(verify(other)).ok and _contents(other) == results[0]
        except VerifyError:
            pass
        finally:
            other.rename(partial)


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(
    source: Path, runs: Killer, whole: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    random_, (expected, seconds) = random.Random(25), whole
    output, kills, finished, resumed = tmp_path / "out", 0, 0, 0
    while kills < KILLS or not output.exists():
        if output.exists():
            finished += 1
            shutil.rmtree(output)
        moment = random_.uniform(0.1, 0.8) * seconds if kills < KILLS else None
        status, _ = runs.run(["quantize", str(source), "-o", str(output), *SCHEME, "--resume"], moment)
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
        _check_after_a_kill(output, expected)
        past = read_journal(partial_of(output)) if (partial_of(output) / JOURNAL).exists() else None
        resumed += past is not None and bool(past.tensors)
    assert resumed > 3, "the kills came before anything was done"
    assert _contents(output) == expected and not partial_of(output).exists()


def test_a_run_killed_while_it_replaces_a_result_leaves_the_old_one_or_the_new_one(
    source: Path, runs: Killer, whole: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    random_, (expected, seconds) = random.Random(7), whole
    output, kept = tmp_path / "a" / "out", tmp_path / "b" / "out"
    kept.parent.mkdir()
    assert runs.run(["quantize", str(source), "-o", str(kept), "--bits", "8", "--group-size", "32"])[0] == 0
    shutil.copytree(kept, output)
    old = weight_bytes(kept)
    for _ in range(6):
        words = ["quantize", str(source), "-o", str(output), *SCHEME, "--resume", "--overwrite"]
        status, _ = runs.run(words, random_.uniform(0.6, 1.0) * seconds)
        assert status in (0, -signal.SIGKILL)
        _check_after_a_kill(output, expected, old)
    assert runs.run(words)[0] == 0
    assert weight_bytes(output) == expected


def test_a_program_killed_and_started_anew_goes_on(
    source: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    """Without a fork server: the whole program, as a user starts it."""
    output = tmp_path / "out"
    words = [sys.executable, "-m", "qtquant_app", "quantize", str(source), "-o", str(output), *SCHEME, "--resume"]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not (partial_of(output) / JOURNAL).exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    _check_after_a_kill(output, whole[0])
    done = subprocess.run(words, capture_output=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    assert _contents(output) == whole[0]
