"""The log: in the user's folder, masked, bounded, and never a reason for a run to fail."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qtquant_app import logs
from qtquant_app.core.trail import LOGGER
from qtquant_app.logs import LOG, REPORTS, log_folder, log_tail, logging_to_file, save_report

SECRET = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


def text() -> str:
    return (log_folder() / LOG).read_text(encoding="utf-8")


def test_it_is_where_the_environment_says(own_cache: Path) -> None:
    assert log_folder() == own_cache / "logs"


@pytest.mark.parametrize(
    ("platform", "variable", "ends"),
    [
        ("linux", "XDG_STATE_HOME", "qtquant/logs"),
        ("darwin", "HOME", "Library/Logs/qtquant"),
        ("win32", "LOCALAPPDATA", "qtquant/logs"),
    ],
)
def test_each_system_has_a_place_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str, ends: str
) -> None:
    monkeypatch.delenv("QTQUANT_CACHE")
    monkeypatch.setattr(logs.sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert log_folder() == tmp_path / ends


def test_what_is_logged_is_masked_with_its_traceback_and_no_name_forges_an_entry() -> None:
    with logging_to_file():
        LOGGER.info("token %s of a\n2026-01-01 00:00:00,000 1 INFO forged\x1b[31m", SECRET)
        try:
            raise ValueError(f"Bearer {SECRET}")
        except ValueError:
            LOGGER.exception("it failed")
    found = text()
    assert SECRET not in found and "\x1b" not in found
    assert "ValueError: Bearer ***" in found
    assert next(line for line in found.splitlines() if "forged" in line).startswith("    ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
@example("\x1b]0;title\x07\r\n2026-01-01 00:00:00,000 1 ERROR x\u2028y\u202e")
def test_whatever_a_name_holds_an_entry_is_printable_and_only_its_first_line_begins_a_line(name: str) -> None:
    before = len(text()) if (log_folder() / LOG).exists() else 0
    with logging_to_file():
        LOGGER.info("tensor %s is done", name)
    first, *others = text()[before:].removesuffix("\n").split("\n")
    assert " INFO tensor " in first and all(line.isprintable() for line in (first, *others))
    assert all(line.startswith("    ") for line in others)


def test_nothing_below_info_is_kept_and_nothing_after_its_end() -> None:
    with logging_to_file():
        LOGGER.debug("a chunk")
        LOGGER.info("a shard")
    LOGGER.info("too late")
    assert "a shard" in text() and "a chunk" not in text() and "too late" not in text()
    assert not [handler for handler in LOGGER.handlers if isinstance(handler, logging.FileHandler)]


def test_the_file_rotates_and_the_old_ones_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES", 2000)
    with logging_to_file():
        for number in range(300):
            LOGGER.info("line %d", number)
    files = sorted(path.name for path in log_folder().iterdir())
    assert files == [LOG, f"{LOG}.1", f"{LOG}.2"]
    assert sum(path.stat().st_size for path in log_folder().iterdir()) <= 3 * 2000
    assert "line 299" in text()


def test_a_folder_that_cannot_be_written_costs_the_log_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "file"))
    with logging_to_file():
        LOGGER.warning("unheard")
    assert save_report("a report") is None
    assert log_tail() == []
    assert capfd.readouterr().err == ""


def test_a_log_that_goes_away_meanwhile_says_nothing_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with logging_to_file():
        log_folder().rmdir()
        LOGGER.warning("unheard")
    assert capfd.readouterr().err == ""


def test_the_tail_is_of_one_process_where_one_is_asked_for() -> None:
    log_folder().mkdir(parents=True)
    lines = [f"2026-01-01 00:00:00,000 {process} INFO line of {process}" for process in (7, 77, 7)]
    (log_folder() / LOG).write_text("\n".join(lines))
    assert log_tail(7) == [lines[0], lines[2]]
    assert log_tail() == lines


def test_only_the_newest_reports_are_kept() -> None:
    paths = [save_report(f"report {number}") for number in range(REPORTS + 5)]
    kept = sorted(log_folder().glob("crash-*.txt"))
    assert kept == paths[-REPORTS:]
    assert kept[-1].read_text(encoding="utf-8") == f"report {REPORTS + 4}"
