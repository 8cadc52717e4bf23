"""What the window writes is what the command line writes, to the byte."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from qtquant_app.cli.main import main
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Job
from tests.checkpoints import small_llama
from tests.driving import plan_for, weight_bytes


def test_the_window_and_the_command_line_write_the_same_bytes(qtbot: QtBot, tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m", shards=2)
    words = ["quantize", str(source), "-o", str(tmp_path / "line"), "--bits", "3", "--group-size", "32", "--asymmetric"]
    assert main([*words, "--device", "cpu"]) == 0
    plan = plan_for(source, Scheme(bits=3, group_size=32, symmetric=False))
    job = Job(Verbs().run(plan, RunOptions(str(tmp_path / "window"))))
    with qtbot.waitSignal(job.done, timeout=60_000):
        job.start()
    assert weight_bytes(tmp_path / "line") == weight_bytes(tmp_path / "window")
