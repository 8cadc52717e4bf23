"""When the program itself fails, the window goes on, and there is a report to send: whole, masked, once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QGuiApplication, QPaintEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.trail import TRAIL
from qtquant_app.gui import crash, failure_report
from qtquant_app.gui.crash import Catcher, follow, tell_of_last_session
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.crash_panel import CrashPanel
from qtquant_app.gui.widgets.details import DetailsDialog
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.jobs.job import internal
from qtquant_app.logs import LOG, log_folder
from tests.gui.conftest import MakeWindow
from tests.gui.scripted import Script
from tests.unit.test_watch import session as other_session

SECRET = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


@pytest.fixture
def window(make_window: MakeWindow) -> MainWindow:
    return make_window(Script())


@pytest.fixture
def catcher(window: MainWindow) -> Iterator[Catcher]:
    """A catcher at work, and panels closed afterwards."""
    TRAIL.clear()
    found = Catcher(window.session)
    found.install()
    follow(window.session)
    yield found
    found.uninstall()
    for panel in panels():
        panel.close()
    QApplication.processEvents()


def panels() -> list[CrashPanel]:
    return [
        widget for widget in QApplication.topLevelWidgets() if isinstance(widget, CrashPanel) and widget.isVisible()
    ]


def panel(qtbot: QtBot) -> CrashPanel:
    """The one panel that shows, once it does."""
    qtbot.waitUntil(lambda: len(panels()) == 1)
    return panels()[0]


def button(parent: QWidget, act: Callable[[], object]) -> QPushButton:
    made = QPushButton("go", parent)
    made.clicked.connect(act)
    return made


def saved() -> list[Path]:
    return sorted(log_folder().glob("crash-*.txt"))


def divide(by: int) -> float:
    return 1 / by


def test_an_exception_in_a_slot_becomes_a_report_beside_the_window_which_goes_on(
    qtbot: QtBot, window: MainWindow, catcher: Catcher, capfd: pytest.CaptureFixture[str]
) -> None:
    window.session.message.emit("Opened a model", "")
    button(window, lambda: divide(0)).click()
    found = panel(qtbot)
    report = found.text()
    for part in (
        "ZeroDivisionError: division by zero",
        "in divide",
        "PySide6-Essentials ",
        "screen 1: ",
        "device: auto",
    ):
        assert part in report
    assert "Opened a model" in report
    assert not found.isModal() and window.isEnabled()
    assert [path.read_text(encoding="utf-8") for path in saved()] == [report]
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert "ZeroDivisionError" in window.strip.message.full_text()


def test_what_repeats_is_shown_once_and_counted(
    qtbot: QtBot, window: MainWindow, catcher: Catcher, capfd: pytest.CaptureFixture[str]
) -> None:
    again = button(window, lambda: divide(0))
    for _ in range(50):
        again.click()
    found = panel(qtbot)
    count = found._count
    qtbot.waitUntil(lambda: count.text() == "This happened 50 times.")
    assert found.text().count("Traceback:") == 1 and len(saved()) == 1
    assert capfd.readouterr().err.count("Traceback (most recent call last)") == 1


def test_another_failure_goes_below_the_first(qtbot: QtBot, window: MainWindow, catcher: Catcher) -> None:
    button(window, lambda: divide(0)).click()
    found = panel(qtbot)
    button(window, lambda: {}["no such key"]).click()
    qtbot.waitUntil(lambda: "KeyError" in found.text())
    assert "ZeroDivisionError" in found.text() and len(panels()) == 1
    assert found._count.text() == "This happened 2 times, in 2 different ways."


def test_a_closed_report_does_not_come_back_for_the_same_failure(
    qtbot: QtBot, window: MainWindow, catcher: Catcher
) -> None:
    again = button(window, lambda: divide(0))
    again.click()
    panel(qtbot).close()
    qtbot.waitUntil(lambda: panels() == [])
    again.click()
    qtbot.wait(50)
    assert panels() == []
    button(window, lambda: {}["no such key"]).click()
    assert "KeyError" in panel(qtbot).text()


def test_a_failure_while_painting_neither_floods_nor_stops_the_window(
    qtbot: QtBot, window: MainWindow, catcher: Catcher
) -> None:
    class Broken(QWidget):
        def paintEvent(self, event: QPaintEvent) -> None:
            divide(0)

    broken = Broken(window)
    broken.show()
    found = panel(qtbot)
    for _ in range(5):
        broken.update()  # not repaint: PySide itself crashes where that meets an exception
        qtbot.wait(20)
    qtbot.waitUntil(lambda: "times" in found._count.text())
    assert len(panels()) == 1 and len(saved()) == 1
    broken.hide()


def test_an_exception_in_a_thread_becomes_a_report(qtbot: QtBot, catcher: Catcher) -> None:
    thread = threading.Thread(target=lambda: divide(0))
    thread.start()
    thread.join()
    assert "ZeroDivisionError" in panel(qtbot).text()


@pytest.mark.parametrize("broken", ["report_of", "save_report", "CrashPanel"])
def test_the_handler_itself_never_fails(
    qtbot: QtBot,
    window: MainWindow,
    catcher: Catcher,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    monkeypatch.setattr(crash, broken, lambda *_, **__: divide(0))
    again = button(window, lambda: {}["no such key"])
    for _ in range(3):
        again.click()
    qtbot.wait(50)
    said = capfd.readouterr().err
    assert said.count("KeyError") == 1 and "ZeroDivisionError" not in said


def test_a_failure_after_the_window_is_gone_goes_to_the_terminal(
    qtbot: QtBot, capfd: pytest.CaptureFixture[str]
) -> None:
    session = Session(Script())
    found = Catcher(session)
    found.install()
    try:
        with qtbot.waitSignal(session.destroyed):
            session.deleteLater()
        sys.excepthook(ValueError, ValueError("late"), None)
    finally:
        found.uninstall()
    assert "ValueError: late" in capfd.readouterr().err


def test_so_many_kinds_of_failures_and_no_more_are_reported(
    qtbot: QtBot, window: MainWindow, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash, "MOST_KINDS", 3)
    for number in range(10):
        sys.excepthook(ValueError, type(f"Kind{number}", (ValueError,), {})(), None)
    found = panel(qtbot)
    qtbot.waitUntil(lambda: "10 times" in found._count.text())
    assert found.text().count("Traceback:") == 3


def test_ctrl_c_in_a_slot_is_a_wish_to_leave_and_no_failure(
    qtbot: QtBot, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bool] = []
    monkeypatch.setattr(crash.QCoreApplication, "quit", lambda: left.append(True))
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    qtbot.wait(30)
    assert left == [True] and panels() == []


def test_no_token_and_no_home_is_in_what_can_be_copied_or_saved(
    qtbot: QtBot, window: MainWindow, catcher: Catcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-no-known-form")
    window.session.message.emit(f"Opened {Path.home()}/models/a", "")

    def fail() -> None:
        raise OSError(f"{Path.home()}/a: Bearer {SECRET} a-token-of-no-known-form")

    button(window, fail).click()
    found = panel(qtbot)
    found.findChild(QPushButton, "crashReportCopy").click()
    texts = [QGuiApplication.clipboard().text(), saved()[0].read_text(encoding="utf-8"), found.text()]
    assert texts == [found.text()] * 3
    for part in (SECRET, "a-token-of", str(Path.home())):
        assert part not in found.text()
    assert "Opened ~/models/a" in found.text()
    assert SECRET not in (window.strip._detail + found.windowTitle())


def test_the_report_can_be_saved_and_says_where_it_cannot(
    qtbot: QtBot, window: MainWindow, catcher: Catcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    button(window, lambda: divide(0)).click()
    found = panel(qtbot)
    for file, says in ((tmp_path / "report.txt", "Saved "), (tmp_path / "no" / "report.txt", "cannot be written")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, file=file: (str(file), ""))
        found.findChild(QPushButton, "crashReportSave").click()
        assert says in found._saved.full_text()
    assert (tmp_path / "report.txt").read_text(encoding="utf-8") == found.text()


def test_the_panel_is_worked_by_keyboard_and_every_part_is_called_something(
    qtbot: QtBot, window: MainWindow, catcher: Catcher
) -> None:
    button(window, lambda: divide(0)).click()
    found = panel(qtbot)
    found.activateWindow()
    names = ["crashReportText", "crashReportCopy", "crashReportSave", "crashReportClose"]
    parts = [found.findChild(QWidget, name) for name in names]
    assert all(part is not None and part.accessibleName() for part in parts)
    assert all(part.focusPolicy() & Qt.FocusPolicy.TabFocus for part in parts)
    QTest.keyClick(found, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: panels() == [])


def test_a_run_that_crashes_offers_its_report_and_can_be_started_again(
    qtbot: QtBot, window: MainWindow, catcher: Catcher, tmp_path: Path
) -> None:
    script = window.session.verbs
    assert isinstance(script, Script)
    script.run_error = ZeroDivisionError("inside torch")
    window.session.open("m")
    qtbot.waitUntil(lambda: window.session.plan is not None)
    window.run_page.output_field.set_path(str(tmp_path / "out"))
    qtbot.waitUntil(window.run_page.start_button.isEnabled)
    window.start_run()
    qtbot.waitUntil(lambda: window.session.runner.state is RunState.FAILED)
    window.run_page.error_panel.findChild(QPushButton).click()
    report = panel(qtbot).text()
    for part in ("ZeroDivisionError: inside torch", "RunStarted tensors=", "device: cpu", "Versions:"):
        assert part in report
    script.run_error = None
    qtbot.waitUntil(window.run_page.start_button.isEnabled)
    window.start_run()
    qtbot.waitUntil(lambda: window.session.runner.state is RunState.DONE)


def test_an_error_of_ours_shows_its_details_and_no_report(qtbot: QtBot, window: MainWindow) -> None:
    shown = ErrorPanel("someErrors", window)
    shown.show_error(QtQuantError("no such file", hint="look again"))
    shown.findChild(QPushButton).click()
    found = [widget for widget in QApplication.topLevelWidgets() if isinstance(widget, DetailsDialog)]
    assert len(found) == 1 and panels() == []
    found[0].close()


def test_the_report_of_a_job_names_what_caused_it() -> None:
    try:
        divide(0)
    except ZeroDivisionError as error:
        assert "in divide" in failure_report.internal_report(internal(error))


def test_a_crash_of_the_last_session_is_told_with_its_trace(qtbot: QtBot, window: MainWindow, catcher: Catcher) -> None:
    other_session("ctypes.string_at(0)").communicate(timeout=30)
    tell_of_last_session(window.session, window)
    found = panel(qtbot)
    assert found.windowTitle() == "The last session ended in a crash"
    assert "Segmentation fault" in found.text() and len(saved()) == 1
    found.close()
    tell_of_last_session(window.session, window)
    assert panels() == [] or panels() == [found]
    assert len(saved()) == 1


def test_a_killed_window_is_a_message_and_a_killed_command_is_nothing(
    qtbot: QtBot, window: MainWindow, catcher: Catcher
) -> None:
    for kind, told in (("command", False), ("window", True)):
        child = other_session("time.sleep(60)", kind)
        child.kill()
        child.communicate(timeout=30)
        window.session.message.emit("", "")
        tell_of_last_session(window.session, window)
        assert ("ended from outside" in window.strip.message.full_text()) is told
    assert panels() == []


def test_a_window_that_is_open_elsewhere_is_no_crash(qtbot: QtBot, window: MainWindow, catcher: Catcher) -> None:
    child = other_session("time.sleep(60)")
    try:
        window.session.message.emit("nothing new", "")
        tell_of_last_session(window.session, window)
        assert window.strip.message.full_text() == "nothing new" and panels() == []
    finally:
        child.kill()
        child.communicate(timeout=30)


def test_the_menu_shows_the_log_and_copies_what_this_computer_is(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = {name: window.findChild(QAction, name) for name in ("showLogAction", "copySystemAction")}
    actions["showLogAction"].trigger()
    assert window.strip.message.full_text() == "Nothing has been logged yet"
    log_folder().mkdir(parents=True)
    (log_folder() / LOG).write_text("2026-01-01 a line of the log\n")
    actions["showLogAction"].trigger()
    (found,) = [widget for widget in QApplication.topLevelWidgets() if isinstance(widget, DetailsDialog)]
    assert "a line of the log" in found._all
    found.close()
    actions["copySystemAction"].trigger()
    copied = QGuiApplication.clipboard().text()
    assert "qtquant " in copied and "processors: " in copied and str(Path.home()) not in copied
