"""The queue in the window: what waits, what runs, what was; by mouse, by keyboard, and when the window closes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import WriteError
from qtquant_app.core.events import Waiting
from qtquant_app.core.plan import Plan
from qtquant_app.engine.job_store import JobStore
from qtquant_app.gui.job_queue import JobQueue
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.steps import Step
from qtquant_app.gui.widgets.jobs_panel import JobsPanel
from qtquant_app.gui.widgets.leave_dialog import Leave
from tests.gui.conftest import MakeWindow
from tests.gui.scripted import Script


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time for the many small threads."""
    wait = QtBot.waitUntil
    monkeypatch.setattr(QtBot, "waitUntil", lambda bot, asked, timeout=30_000: wait(bot, asked, timeout=timeout))


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def window(qtbot: QtBot, make_window: MakeWindow, verbs: Script, tmp_path: Path) -> MainWindow:
    """The Run page of a window in which a checkpoint is open and planned."""
    made = make_window(verbs)
    with qtbot.waitSignal(made.session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        made.session.open("made up")
    made.go(Step.RUN)
    return made


@pytest.fixture
def queue(window: MainWindow) -> JobQueue:
    return window.session.queue


@pytest.fixture
def panel(window: MainWindow) -> JobsPanel:
    return window.run_page.jobs_panel


def press(qtbot: QtBot, window: MainWindow, folder: Path, button: str = "queue_button") -> None:
    """Chooses the folder and presses Start or Add to queue."""
    page, queue = window.run_page, window.session.queue
    page.output_field.set_path(str(folder))
    qtbot.waitUntil(getattr(page, button).isEnabled)
    getattr(page, button).click()
    qtbot.waitUntil(lambda: str(folder) in queue.outputs)


def listed(panel: JobsPanel) -> list[tuple[str, str]]:
    """Output and the first word of the state, as the table shows them."""
    rows = range(panel.model.rowCount())
    cells = [(panel.model.index(r, 3).data(), panel.model.index(r, 1).data()) for r in rows]
    return [(output, state.split()[1].rstrip(",")) for output, state in cells]


def add_three(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    for name in "abc":
        press(qtbot, window, tmp_path / name)


def outputs(queue: JobQueue) -> list[str]:
    return [Path(record.output).name for record in queue.waiting]


def test_jobs_wait_until_the_queue_is_started_and_then_run_one_after_another(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, verbs: Script, tmp_path: Path
) -> None:
    add_three(qtbot, window, tmp_path)
    qtbot.wait(50)
    assert verbs.options == []
    assert panel.note.full_text() == "3 jobs wait for you to start the queue."
    panel.queue_button.click()
    qtbot.waitUntil(lambda: listed(panel) == [("c", "done"), ("b", "done"), ("a", "done")])
    assert [Path(options.output).name for options in verbs.options] == ["a", "b", "c"]
    qtbot.waitUntil(lambda: not queue.going)


def test_what_is_added_during_a_run_follows_it_by_itself(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, verbs: Script, tmp_path: Path
) -> None:
    verbs.gate.clear()
    press(qtbot, window, tmp_path / "a", "start_button")
    press(qtbot, window, tmp_path / "b")
    assert [state for _, state in listed(panel)] == ["running", "waiting"]
    verbs.gate.set()
    qtbot.waitUntil(lambda: [state for _, state in listed(panel)] == ["done", "done"])


def test_no_second_job_may_write_where_another_will(
    qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path
) -> None:
    press(qtbot, window, tmp_path / "a")
    page = window.run_page
    qtbot.waitUntil(lambda: not page.queue_button.isEnabled())
    assert not page.start_button.isEnabled()
    assert "choose another folder" in page.output_field.note.text()


def test_a_held_queue_finishes_the_job_at_hand_and_starts_no_other(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, verbs: Script, tmp_path: Path
) -> None:
    add_three(qtbot, window, tmp_path)
    verbs.gate.clear()
    panel.queue_button.click()
    qtbot.waitUntil(lambda: queue.current is not None)
    assert panel.queue_button.accessibleName() == "Hold the queue"
    panel.queue_button.click()
    verbs.gate.set()
    qtbot.waitUntil(lambda: not window.session.runner.state.active)
    qtbot.wait(100)
    assert outputs(queue) == ["b", "c"]


def test_a_failed_job_does_not_stop_the_queue_and_keeps_its_error(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, verbs: Script, tmp_path: Path
) -> None:
    add_three(qtbot, window, tmp_path)
    verbs.run_error = WriteError("the <b>disk</b> is gone", hint="mount it")
    panel.queue_button.click()
    qtbot.waitUntil(lambda: [state for _, state in listed(panel)] == ["failed"] * 3)
    qtbot.waitUntil(lambda: all(record.error for record in queue.records))
    panel.choose(queue.records[0].id)
    text = window.run_page.job_text.toPlainText()
    assert "Error: the <b>disk</b> is gone" in text and "Hint: mount it" in text
    panel.job_button.menu().aboutToShow.emit()
    next(a for a in panel.job_button.menu().actions() if "log" in a.text()).trigger()
    assert QGuiApplication.clipboard().text() == text


def test_alt_and_the_arrows_move_a_job_and_delete_removes_it(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, tmp_path: Path
) -> None:
    add_three(qtbot, window, tmp_path)
    panel.choose(queue.waiting[2].id)
    panel.table.setFocus()
    for expected in (["a", "c", "b"], ["c", "a", "b"], ["c", "a", "b"]):
        QTest.keyClick(panel.table, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
        qtbot.waitUntil(lambda expected=expected: outputs(queue) == expected)
    assert panel.job is not None and panel.job.output.endswith("c"), "the job stays chosen as it moves"
    QTest.keyClick(panel.table, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: outputs(queue) == ["a", "c", "b"])
    QTest.keyClick(panel.table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: outputs(queue) == ["a", "b"])
    assert [record.options.output[-1] for record in JobStore().jobs().records] == ["a", "b"]


@pytest.mark.parametrize(("row", "expected"), [(0, "cab"), (1, "acb"), (2, "abc"), (3, "abc"), (-1, "abc")])
def test_a_dragged_job_goes_where_it_is_dropped(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, tmp_path: Path, row: int, expected: str
) -> None:
    add_three(qtbot, window, tmp_path)
    model = panel.model
    dragged = model.index(2, 0)
    assert model.flags(dragged) & Qt.ItemFlag.ItemIsDragEnabled
    data = model.mimeData([dragged])
    with qtbot.waitSignal(model.moved):
        model.dropMimeData(data, Qt.DropAction.MoveAction, row, 0, QModelIndex())
    qtbot.waitUntil(lambda: not queue._serial.busy)
    assert "".join(outputs(queue)) == expected


def test_the_filter_finds_jobs_by_any_of_their_words_and_says_what_it_hides(
    qtbot: QtBot, window: MainWindow, panel: JobsPanel, tmp_path: Path
) -> None:
    add_three(qtbot, window, tmp_path)
    qtbot.keyClicks(panel.filter_edit, f"WAITING {tmp_path / 'b'}")
    assert listed(panel) == [("b", "waiting")]
    assert "2 jobs hidden" in panel.note.full_text()
    panel.filter_edit.clear()
    assert len(listed(panel)) == 3


def test_a_job_is_run_again_beside_its_result_and_the_history_is_cleared(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, verbs: Script, tmp_path: Path
) -> None:
    press(qtbot, window, tmp_path / "a", "start_button")
    qtbot.waitUntil(lambda: listed(panel) == [("a", "done")] and queue.records[0].result is not None)
    queue.again(queue.records[0])
    qtbot.waitUntil(lambda: listed(panel) == [("a-2", "waiting"), ("a", "done")])
    panel.clear_button.click()
    qtbot.waitUntil(lambda: listed(panel) == [("a-2", "waiting")])


def test_a_cancelled_job_is_given_up_and_the_next_one_runs(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, verbs: Script, tmp_path: Path
) -> None:
    verbs.gate.clear()
    press(qtbot, window, tmp_path / "a", "start_button")
    press(qtbot, window, tmp_path / "b")
    qtbot.waitUntil(lambda: window.session.runner.progress.bytes_done > 0)
    window.run_page.cancel_button.click()
    verbs.gate.set()
    qtbot.waitUntil(lambda: sorted(listed(panel)) == [("a", "cancelled"), ("b", "done")])


def test_pause_is_on_disk_at_once(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, verbs: Script, tmp_path: Path
) -> None:
    verbs.gate.clear()
    press(qtbot, window, tmp_path / "a", "start_button")
    window.setFocus()
    QTest.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert window.session.runner.state is RunState.PAUSED
    qtbot.waitUntil(lambda: states() == ["paused"])
    assert "paused" in window.run_page.jobs_panel.model.index(0, 1).data()
    QTest.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: states() == ["running"])
    verbs.gate.set()


def test_a_run_that_waits_says_for_what_and_can_be_cancelled(
    qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path
) -> None:
    verbs.gate.clear()
    press(qtbot, window, tmp_path / "a", "start_button")
    qtbot.waitUntil(lambda: window.session.runner.progress.bytes_done > 0)
    window.session.runner._on_batch([Waiting("disk-full", "<i>/out</i> has no room")])
    assert window.run_page.progress_text.text().endswith("waiting: <i>/out</i> has no room")
    assert window.strip.job.text().startswith("Waiting at")
    window.run_page.cancel_button.click()
    qtbot.waitUntil(lambda: window.session.runner.state is RunState.CANCELLED)


def test_jobs_that_another_program_adds_show_by_themselves(
    qtbot: QtBot, window: MainWindow, queue: JobQueue, panel: JobsPanel, tmp_path: Path
) -> None:
    press(qtbot, window, tmp_path / "a")
    other = JobStore()
    other.reorder(queue.waiting[0].id, 0)
    other.update(queue.waiting[0].id, label="renamed elsewhere")
    qtbot.waitUntil(lambda: panel.model.index(0, 0).data() == "renamed elsewhere")


@pytest.fixture
def closing(qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path) -> MainWindow:
    """A window that was asked to close during a run, and asks back."""
    del window.may_stop  # type: ignore[method-assign]
    verbs.gate.clear()
    press(qtbot, window, tmp_path / "a", "start_button")
    qtbot.waitUntil(lambda: window.session.runner.progress.bytes_done > 0)
    assert not window.close()
    assert window.leaving.dialog is not None
    return window


def answer(window: MainWindow, choice: Leave) -> None:
    dialog = window.leaving.dialog
    assert dialog is not None
    dialog.buttons[choice].click()


def states() -> list[str]:
    return [str(record.state) for record in JobStore().jobs().records]


def test_closing_asks_and_escape_stays(qtbot: QtBot, closing: MainWindow) -> None:
    dialog = closing.leaving.dialog
    assert QApplication.focusWidget() in (None, dialog.buttons[Leave.STAY])  # type: ignore[union-attr]
    assert not closing.close(), "asking twice asks once"
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: closing.leaving.dialog is None)
    assert closing.isVisible()
    assert closing.session.runner.state is RunState.RUNNING


def test_pause_and_close_keeps_the_run_for_the_next_start(qtbot: QtBot, closing: MainWindow, verbs: Script) -> None:
    answer(closing, Leave.PAUSE)
    qtbot.waitUntil(lambda: not closing.isVisible())
    assert verbs.closed.is_set()
    assert states() == ["paused"]


def test_cancel_and_close_gives_the_run_up(qtbot: QtBot, closing: MainWindow, verbs: Script) -> None:
    answer(closing, Leave.CANCEL)
    qtbot.waitUntil(lambda: states() == ["cancelled"])
    assert verbs.closed.is_set()
    assert not closing.isVisible()


def test_in_the_background_the_run_is_finished_and_then_the_program_ends(
    qtbot: QtBot, qapp: QApplication, closing: MainWindow, verbs: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(QApplication, "quit", lambda *_: ended.append(True))
    answer(closing, Leave.BACKGROUND)
    assert not closing.isVisible()
    assert not qapp.quitOnLastWindowClosed()
    assert closing.session.runner.state is RunState.RUNNING
    verbs.gate.set()
    qtbot.waitUntil(lambda: bool(ended))
    assert states() == ["done"]
    assert qapp.quitOnLastWindowClosed()
