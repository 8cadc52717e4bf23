"""When the command line itself fails: a sentence, a hint that names the saved report, status 1, and a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qtquant_app.cli import commands
from qtquant_app.cli.main import main
from qtquant_app.core.trail import LOGGER
from qtquant_app.logs import LOG, log_folder
from tests.checkpoints import small_llama

SECRET = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


class PanicError(BaseException):
    """Like the panic of a library written in Rust: no Exception."""


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(_: object) -> int:
        raise error

    monkeypatch.setattr(commands, "formats", run)


def reports() -> list[Path]:
    return sorted(log_folder().glob("crash-*.txt"))


@pytest.mark.parametrize("kind", [ZeroDivisionError, PanicError])
def test_a_failure_is_a_sentence_and_a_hint_that_names_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[BaseException]
) -> None:
    failing(monkeypatch, kind(f"deep\ndown {SECRET}"))
    assert main(["formats"]) == 1
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    (report,) = reports()
    assert said.out == "" and first == f"error: {kind.__name__}: deep"
    assert second.startswith("hint: ") and second.endswith(str(report))
    text = report.read_text(encoding="utf-8")
    assert "qtquant formats" in text and "in run" in text and SECRET not in text


def test_with_debug_the_traceback_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("deep down"))
    with pytest.raises(ZeroDivisionError):
        main(["formats", "--debug"])


def test_where_no_report_can_be_saved_the_failure_is_still_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "file"))
    failing(monkeypatch, ZeroDivisionError("deep down"))
    assert main(["formats"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: ZeroDivisionError: deep down" and "--debug" in second


def test_a_run_is_logged_by_its_milestones_and_leaves_no_handler_and_no_mark(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m", shards=2)
    handlers = list(LOGGER.handlers)
    assert main(["quantize", str(source), "-o", str(tmp_path / "o"), "--group-size", "32"]) == 0
    log = (log_folder() / LOG).read_text(encoding="utf-8")
    for part in ("qtquant quantize", "RunStarted tensors=", "ShardWritten file=", "ended with status 0"):
        assert part in log
    assert "ChunkDone" not in log and "TensorDone" not in log
    assert LOGGER.handlers == handlers
    assert list(log_folder().glob("session-*")) == [] and reports() == []


def test_a_refusal_is_logged_and_is_no_failure_of_the_program(tmp_path: Path) -> None:
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "ended: " in (log_folder() / LOG).read_text(encoding="utf-8") and reports() == []


def test_a_fault_in_native_code_leaves_a_trace() -> None:
    code = (
        "import ctypes; from qtquant_app.cli import commands, main\n"
        "commands.formats = lambda options: ctypes.string_at(0)\nmain.main(['formats'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGSEGV
    (mark,) = log_folder().glob("session-*.txt")
    assert mark.read_text().startswith("command ") and "Segmentation fault" in mark.read_text()
