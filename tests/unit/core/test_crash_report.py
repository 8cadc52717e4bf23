"""The report of a failure is whole, masked, bounded, and never fails a second time."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from qtquant_app.core import crash_report as module
from qtquant_app.core.crash_report import LONGEST_TRACEBACK, PACKAGES, crash_report

SECRET = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


def raised(text: str = "deep down") -> ValueError:
    try:
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise ValueError(text) from cause
    except ValueError as error:
        return error


def test_it_says_what_where_with_what_and_after_what() -> None:
    report = crash_report("the run failed", raised(), happened=["a shard"], facts={"screen": "800 x 600"})
    assert report.startswith("the run failed\n")
    for part in (
        "qtquant ",
        f"Python {sys.version.split()[0]}",
        f"numpy {version('numpy')}",
        "processors: ",
        "a shard",
    ):
        assert part in report
    for part in ("screen: 800 x 600", "KeyError: 'the cause'", "ValueError: deep down", "in raised", "direct cause"):
        assert part in report


def test_every_library_is_named_whether_it_is_here_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", (*PACKAGES, "no-such-library"))
    report = crash_report("a", raised())
    assert all(f"\n  {name} " in report for name in PACKAGES)
    assert "no-such-library is not installed" in report


def test_no_secret_no_home_and_no_environment_come_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "a-token-of-no-known-form")
    monkeypatch.setenv("A_VARIABLE", "the value of a variable")
    error = raised(f"{SECRET} a-token-of-no-known-form {tmp_path}/model")
    report = crash_report(str(tmp_path), error, happened=[f"opened {tmp_path}/m"], facts={"a": SECRET})
    assert not [part for part in (SECRET, "a-token-of", str(tmp_path), "the value of") if part in report]
    assert "~/model" in report


def test_an_endless_traceback_keeps_its_beginning_and_its_end() -> None:
    def fall(deep: int) -> None:
        locals()[f"name{deep}"] = deep
        (fall if deep % 2 else other)(deep - 1)

    def other(deep: int) -> None:
        if deep <= 0:
            raise ValueError("the bottom" + "!" * 50_000)
        fall(deep - 1)

    with pytest.raises(ValueError, match="bottom") as caught:
        fall(801)
    report = crash_report("a", caught.value)
    assert (
        len(report) < 2 * LONGEST_TRACEBACK and "characters left out" in report and "Traceback (most recent" in report
    )


def test_what_cannot_be_found_out_leaves_a_gap_and_no_second_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class WickedError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def fail() -> list[str]:
        raise OSError("no such file")

    monkeypatch.setattr(module, "system_lines", fail)
    report = crash_report("a", WickedError())
    assert "not known: OSError: no such file" in report and "WickedError" in report


def test_a_report_that_cannot_be_masked_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> str:
        raise MemoryError

    monkeypatch.setattr(module, "masked", fail)
    assert SECRET not in crash_report(SECRET, raised())


def test_a_report_imports_no_library() -> None:
    code = (
        "import sys; from qtquant_app.core.crash_report import crash_report; crash_report('a', ValueError())\n"
        "print([m for m in ('numpy', 'numba', 'torch', 'transformers', 'PySide6') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_cards_that_the_driver_lists_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = tmp_path / "0000:01:00.0"
    card.mkdir()
    (card / "information").write_text("Model: \t\t Some Card 9000\nIRQ: 1\n")
    monkeypatch.setattr(module, "_GPUS", tmp_path)
    assert "graphics: Some Card 9000" in crash_report("a", raised())
