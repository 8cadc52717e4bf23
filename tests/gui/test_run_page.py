"""The Run page, driven by scripted events."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import PlanError, WriteError
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import NOTHING
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.hints import RESUME
from qtquant_app.gui.pages.run import STEPS, RunPage, progress_words
from qtquant_app.gui.progress import Progress
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from tests.gui.scripted import Script


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def session(verbs: Script, qtbot: QtBot) -> Session:
    return Session(verbs)


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings, tmp_path: Path) -> RunPage:
    settings.set("output/parent", str(tmp_path))
    made = RunPage(session, settings)
    qtbot.addWidget(made)
    made.resize(1100, 640)
    made.show()
    return made


@pytest.fixture
def ready(qtbot: QtBot, page: RunPage, session: Session) -> RunPage:
    """The page with a plan, and its output folder looked at."""
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        session.open("made up")
    qtbot.waitUntil(page.start_button.isEnabled)
    return page


def texts(page: RunPage, column: int) -> list[str]:
    return [page.job_model.index(row, column).data() for row in range(page.job_model.rowCount())]


def click(qtbot: QtBot, button: object) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def finish(qtbot: QtBot, page: RunPage) -> None:
    qtbot.waitUntil(lambda: not page._session.runner.state.active)


def test_without_a_checkpoint_nothing_can_be_started_and_the_page_says_why(page: RunPage) -> None:
    assert not page.start_button.isEnabled()
    assert "Source page" in page.why_not.text()
    page.start()
    assert page._session.runner.state is RunState.IDLE


def test_a_refused_plan_cannot_be_started(qtbot: QtBot, page: RunPage, session: Session, verbs: Script) -> None:
    verbs.plan_error = PlanError("no such thing")
    with qtbot.waitSignal(session.plan_changed):
        session.open("made up")
    assert not page.start_button.isEnabled()
    assert page.why_not.text() == "The plan is refused: no such thing"


def test_a_folder_named_after_checkpoint_and_scheme_is_suggested(
    qtbot: QtBot, ready: RunPage, session: Session, tmp_path: Path
) -> None:
    assert ready.output_field.path == str(tmp_path / "made-up-w4-g128-sym")
    session.set_default_scheme(Scheme(bits=8, strategy="channel", group_size=None))
    assert ready.output_field.path == str(tmp_path / "made-up-w8-ch-sym")


def test_a_folder_chosen_by_hand_stays_and_its_place_is_kept(
    qtbot: QtBot, ready: RunPage, session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = str(tmp_path / "elsewhere" / "mine")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: other)
    ready.output_field.browse_button.click()
    session.set_default_scheme(Scheme(bits=2))
    assert ready.output_field.path == other
    assert settings.text("output/parent") == str(tmp_path / "elsewhere")


def test_the_whole_run_fills_table_progress_and_log(qtbot: QtBot, ready: RunPage, verbs: Script) -> None:
    assert set(texts(ready, 4)) == {NOTHING}
    click(qtbot, ready.start_button)
    finish(qtbot, ready)
    assert set(texts(ready, 4)) == {"20.00 dB"}
    assert set(texts(ready, 6)) == {"\u2713 verified"}
    assert ready.progress_bar.value() == STEPS
    log = ready.log.toPlainText()
    for words in ("started: 99 tensors", "quantizing", "warning: a <i>made-up</i> warning", "wrote model.safetensors"):
        assert words in log
    assert "verified" in ready.progress_text.text()
    (options,) = verbs.options
    assert (options.verify, options.resume, options.overwrite) == ("full", False, False)


def test_pause_becomes_resume_and_back(qtbot: QtBot, ready: RunPage, verbs: Script, session: Session) -> None:
    verbs.gate.clear()
    click(qtbot, ready.start_button)
    qtbot.waitUntil(lambda: session.runner.progress.bytes_done > 0)
    assert not ready.start_button.isEnabled()
    assert not ready.output_field.ready, "the next job must not write where this one does"
    click(qtbot, ready.pause_button)
    assert session.runner.state is RunState.PAUSED
    assert ready.pause_button.accessibleName() == "Resume"
    click(qtbot, ready.pause_button)
    assert session.runner.state is RunState.RUNNING
    verbs.gate.set()
    finish(qtbot, ready)
    assert ready.pause_button.accessibleName() == "Pause"
    assert session.runner.state is RunState.DONE


def test_cancel_stops_the_run_and_frees_the_page(qtbot: QtBot, ready: RunPage, verbs: Script, session: Session) -> None:
    verbs.gate.clear()
    click(qtbot, ready.start_button)
    qtbot.waitUntil(lambda: session.runner.progress.bytes_done > 0)
    click(qtbot, ready.cancel_button)
    qtbot.waitUntil(lambda: session.runner.state is RunState.CANCELLED, timeout=1000)
    qtbot.waitUntil(ready.start_button.isEnabled)
    assert "cancelled" in ready.log.toPlainText()
    assert not ready.cancel_button.isEnabled()


def test_after_a_run_start_waits_for_another_look_at_the_folder(qtbot: QtBot, ready: RunPage, session: Session) -> None:
    allowed: list[bool] = []
    session.runner.state_changed.connect(lambda state: state.active or allowed.append(ready.start_button.isEnabled()))
    click(qtbot, ready.start_button)
    finish(qtbot, ready)
    assert allowed == [False]
    qtbot.waitUntil(ready.start_button.isEnabled)


def test_a_failed_run_shows_its_error_in_the_panel_and_not_in_a_box(
    qtbot: QtBot, ready: RunPage, verbs: Script
) -> None:
    verbs.run_error = WriteError("w.safetensors cannot be written", hint="go on with --resume", code="write")
    click(qtbot, ready.start_button)
    finish(qtbot, ready)
    assert ready.error_panel.isVisible()
    assert ready.error_panel.text().startswith("w.safetensors cannot be written\nCheck the drive")
    verbs.run_error = None
    qtbot.waitUntil(ready.start_button.isEnabled)
    click(qtbot, ready.start_button)
    assert not ready.error_panel.isVisible()
    finish(qtbot, ready)


def make_result(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "qtquant.json").write_text("{}")
    return folder


def type_output(qtbot: QtBot, page: RunPage, path: Path) -> None:
    page.output_field.edit.clear()
    qtbot.keyClicks(page.output_field.edit, str(path))
    qtbot.waitUntil(lambda: page.output_field.known)


def test_an_earlier_result_is_only_replaced_when_that_is_ticked(
    qtbot: QtBot, ready: RunPage, verbs: Script, tmp_path: Path
) -> None:
    type_output(qtbot, ready, make_result(tmp_path / "old"))
    assert not ready.start_button.isEnabled()
    assert "holds a result" in ready.output_field.note.text()
    ready.output_field.replace_check.click()
    assert ready.start_button.isEnabled()
    click(qtbot, ready.start_button)
    finish(qtbot, ready)
    assert verbs.options[0].overwrite
    assert not ready.output_field.replace_check.isChecked()


def test_a_foreign_folder_is_never_written_to(qtbot: QtBot, ready: RunPage, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    type_output(qtbot, ready, tmp_path / "thesis")
    assert not ready.start_button.isEnabled()
    assert not ready.output_field.replace_check.isVisible()
    assert "was not written by QtQuant" in ready.output_field.note.text()


def test_an_unfinished_run_is_offered_to_go_on_with(
    qtbot: QtBot, ready: RunPage, verbs: Script, tmp_path: Path
) -> None:
    partial = tmp_path / "new.partial"
    partial.mkdir()
    (partial / "journal.jsonl").write_text("")
    type_output(qtbot, ready, tmp_path / "new")
    check = ready.output_field.resume_check
    assert check.isVisible()
    assert check.text() == RESUME
    assert ready.start_button.text() == "&Go on"
    click(qtbot, ready.start_button)
    finish(qtbot, ready)
    qtbot.waitUntil(ready.start_button.isEnabled)
    check.click()
    assert ready.start_button.text() == "&Start"
    click(qtbot, ready.start_button)
    finish(qtbot, ready)
    assert [(o.resume, o.overwrite) for o in verbs.options] == [(True, False), (False, True)]


def test_a_drive_too_small_is_said_before_the_run(qtbot: QtBot, ready: RunPage) -> None:
    ready.output_field.set_needed(10**18)
    ready._refresh()
    assert not ready.start_button.isEnabled()
    assert "choose another drive" in ready.output_field.note.text()


def test_verification_and_device_are_kept_for_the_next_start(
    qtbot: QtBot, ready: RunPage, session: Session, settings: Settings
) -> None:
    with qtbot.waitSignal(session.catalog_changed):
        session.load_catalog()
    ready.verify_combo.setCurrentIndex(ready.verify_combo.findData("quick"))
    ready.device_combo.setCurrentIndex(ready.device_combo.findData("cuda"))
    assert session.device == "cuda"
    again = RunPage(session, settings)
    qtbot.addWidget(again)
    assert again.verify_combo.currentData() == "quick"
    assert again.device_combo.currentData() == "cuda"


def test_progress_is_said_in_figures() -> None:
    progress = Progress("verify", 250_000_000, 1_000_000_000, rate=5e8, seconds_left=1.5)
    words = progress_words(progress)
    for part in ("25 %", "250 MB of 1.00 GB", "500 MB/s", "1.5 s left", "verifying the written files"):
        assert part in words


def test_calibration_is_said_by_its_block_and_never_in_bytes() -> None:
    words = progress_words(Progress("calibrate", 2000, 8000, text="model.layers.1", rate=500.0, seconds_left=12.0))
    assert words.split("  \u00b7  ") == ["25 %", "calibrating model.layers.1", "12 s left"]
    assert progress_words(Progress("calibrate")).endswith("block by block")
    assert "0 B" not in progress_words(Progress("calibrate"))
