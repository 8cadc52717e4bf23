"""The window: steps, states, shortcuts, what it keeps, and that everybody can use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QModelIndex, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QTabBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step
from qtquant_app.gui.theme import ThemeName, apply_theme, colors
from qtquant_app.gui.widgets.details import DetailsDialog
from tests.gui.conftest import MakeWindow
from tests.gui.scripted import Script

INTERACTIVE = (QAbstractButton, QAbstractItemView, QComboBox, QLineEdit, QPlainTextEdit, QProgressBar, QTabBar)
CONTRACT = (
    "mainWindow sourcePage inspectPage recipePage runPage publishPage layerTree histogramPlot errorMap bitsCombo "
    "groupSizeCombo symmetricCheck methodCombo formatCombo startButton pauseButton cancelButton jobProgress jobTable "
    "errorPanel"
).split()


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def window(make_window: MakeWindow, verbs: Script) -> MainWindow:
    return make_window(verbs)


def open_one(qtbot: QtBot, window: MainWindow) -> Plan:
    session = window.session
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        session.open("made up")
    assert session.plan is not None
    return session.plan


def words(window: MainWindow) -> dict[str, str]:
    return {step.title: button.state.words for step, button in window.rail.buttons.items()}


def test_every_object_name_of_the_contract_is_there_exactly_once(window: MainWindow) -> None:
    names = [window.objectName(), *(widget.objectName() for widget in window.findChildren(QWidget))]
    assert {name: names.count(name) for name in CONTRACT} == dict.fromkeys(CONTRACT, 1)


def test_every_interactive_widget_has_an_accessible_name(window: MainWindow) -> None:
    nameless = [
        f"{type(widget).__name__} {widget.objectName()!r}"
        for widget in window.findChildren(QWidget)
        if isinstance(widget, INTERACTIVE) and not widget.accessibleName()
    ]
    assert nameless == []


def test_no_label_reads_its_text_as_markup(window: MainWindow) -> None:
    risky = [
        label.objectName() for label in window.findChildren(QLabel) if label.textFormat() != Qt.TextFormat.PlainText
    ]
    ours = [name for name in risky if name]
    assert ours == []


def test_steps_are_reached_by_click_and_by_number(qtbot: QtBot, window: MainWindow) -> None:
    for step in (Step.PUBLISH, Step.RECIPE):
        qtbot.mouseClick(window.rail.buttons[step], Qt.MouseButton.LeftButton)
        assert window.step is step
    for step in Step:
        QTest.keyClick(window, Qt.Key(Qt.Key.Key_1 + step), Qt.KeyboardModifier.ControlModifier)
        assert window.step is step
        assert window.rail.buttons[step].isChecked()


def test_the_rail_says_what_state_each_step_is_in(qtbot: QtBot, window: MainWindow) -> None:
    assert words(window) == {
        "Source": "nothing open",
        "Inspect": "no checkpoint",
        "Recipe": "W4 g128 sym",
        "Run": "no plan",
        "Publish": "nothing saved",
        "Compare": "nothing added",
    }
    plan = open_one(qtbot, window)
    window.session.select("model.layers.0.mlp.down_proj.weight")
    assert words(window)["Source"] == "made up"
    assert words(window)["Inspect"] == "model.layers.0.mlp.down_proj"
    assert words(window)["Run"] == "ready"
    with qtbot.waitSignal(window.session.run_finished):
        window.session.runner.start(plan, RunOptions("out"))
    assert words(window)["Run"] == "done"
    assert words(window)["Publish"] == "verified"
    assert window.rail.buttons[Step.PUBLISH].accessibleName() == "Publish: verified"


def test_refusals_failures_and_cancels_show_in_the_rail(qtbot: QtBot, window: MainWindow, verbs: Script) -> None:
    plan = open_one(qtbot, window)
    runner = window.session.runner
    verbs.gate.clear()
    runner.start(plan, RunOptions("out"))
    qtbot.waitUntil(lambda: words(window)["Run"].startswith("running, "))
    runner.pause()
    assert words(window)["Run"].startswith("paused at ")
    runner.cancel()
    qtbot.waitUntil(lambda: words(window)["Run"] == "cancelled")
    verbs.gate.set()
    verbs.run_error = ValueError("odd")
    runner.start(plan, RunOptions("out"))
    qtbot.waitUntil(lambda: words(window)["Run"] == "failed")
    verbs.plan_error = PlanError("no")
    window.session.set_default_scheme(Scheme(bits=2))
    qtbot.waitUntil(lambda: words(window)["Recipe"] == "refused")


def test_opening_shows_the_source_page(qtbot: QtBot, window: MainWindow) -> None:
    window.go(Step.RUN)
    window.session.open("made up")
    assert window.step is Step.SOURCE
    assert words(window)["Source"] == "opening…"
    qtbot.waitUntil(lambda: "made up" in window.windowTitle())


def drop(window: MainWindow, *paths: Path) -> bool:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    where, copy, left, none = (
        QPoint(400, 300),
        Qt.DropAction.CopyAction,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    enter = QDragEnterEvent(where, copy, data, left, none)
    enter.ignore()
    QApplication.sendEvent(window, enter)
    if enter.isAccepted():
        QApplication.sendEvent(window, QDropEvent(QPointF(where), copy, data, left, none))
    return enter.isAccepted()


def test_a_folder_dropped_anywhere_is_opened(qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path) -> None:
    window.go(Step.RECIPE)
    assert drop(window, tmp_path)
    qtbot.waitUntil(lambda: verbs.opened == [str(tmp_path)])


def test_a_recipe_dropped_anywhere_is_shown_beside_the_current_one(
    qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path
) -> None:
    recipe = Recipe(Scheme(bits=3))
    (tmp_path / "mine.json").write_text(recipe.dumps())
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "qtquant.json").write_text(f'{{"recipe": {recipe.dumps()}}}')
    offer = window.recipe_page.offer
    for place in (tmp_path / "mine.json", tmp_path / "result"):
        window.go(Step.SOURCE)
        assert drop(window, place)
        assert window.step is Step.RECIPE
        qtbot.waitUntil(offer.isVisible)
        assert offer.recipe == recipe
        offer.leave_button.click()
    assert verbs.opened == []
    assert window.session.recipe == Recipe()


def test_an_index_of_shards_dropped_is_a_checkpoint(
    qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path
) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    assert drop(window, index)
    qtbot.waitUntil(lambda: verbs.opened == [str(index)])


def test_the_edit_menu_undoes_and_says_what(qtbot: QtBot, window: MainWindow) -> None:
    undo, redo = (
        next(a for a in window.findChildren(QAction) if a.text().startswith(verb)) for verb in ("&Undo", "&Redo")
    )
    assert not undo.isEnabled() and not redo.isEnabled()
    window.session.set_recipe(Recipe(rules=(Rule("*.a&b", "keep"),)))
    assert undo.text() == "&Undo: rule for *.a&&b"
    window.setFocus()
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.session.recipe == Recipe()
    assert (undo.text(), redo.text()) == ("&Undo", "&Redo: rule for *.a&&b")
    shifted = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(window, Qt.Key.Key_Z, shifted)
    assert window.session.recipe.rules
    assert not redo.isEnabled()


def test_errors_found_on_the_inspect_page_show_at_the_rules(qtbot: QtBot, window: MainWindow) -> None:
    open_one(qtbot, window)
    card = window.recipe_page.rules_card
    window.inspect_page.layers.model.dataChanged.emit(QModelIndex(), QModelIndex())
    assert card._later.isActive()


def test_two_things_at_once_are_not_taken(window: MainWindow, verbs: Script, tmp_path: Path) -> None:
    assert not drop(window, tmp_path, tmp_path / "other")
    assert verbs.opened == []


def test_find_goes_to_the_filter_of_the_layer_tree(qtbot: QtBot, window: MainWindow) -> None:
    for start in Step:
        window.go(start)
        window.setFocus()
        QTest.keyClick(window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
        assert window.step is Step.INSPECT
        assert window.inspect_page.layers.filter_edit.hasFocus()


def test_the_run_starts_by_its_key_once_it_can(qtbot: QtBot, window: MainWindow, verbs: Script, tmp_path: Path) -> None:
    window.start_run()
    assert verbs.options == []
    open_one(qtbot, window)
    window.run_page.output_field.set_path(str(tmp_path / "out"))
    qtbot.waitUntil(window.run_page.start_button.isEnabled)
    QTest.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    assert window.step is Step.RUN
    with qtbot.waitSignal(window.session.run_finished):
        pass


def test_no_two_actions_share_a_shortcut(window: MainWindow) -> None:
    keys = [action.shortcut().toString() for action in window.findChildren(QAction) if not action.shortcut().isEmpty()]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize("page", ["source_page", "recipe_page", "run_page", "publish_page"])
def test_no_two_widgets_of_a_page_share_a_letter_nor_one_with_a_menu(window: MainWindow, page: str) -> None:
    letters = [action.text()[action.text().index("&") + 1].lower() for action in window.menuBar().actions()]
    letters += [
        text[text.index("&") + 1].lower()
        for widget in getattr(window, page).findChildren(QWidget)
        if isinstance(widget, (QAbstractButton, QLabel))
        and "&" in (text := widget.text().replace("&&", ""))
        and (isinstance(widget, QAbstractButton) or widget.buddy() is not None)
    ]
    assert sorted(letters) == sorted(set(letters))


def test_a_message_shows_in_the_strip_with_its_detail(qtbot: QtBot, window: MainWindow) -> None:
    window.session.message.emit("plain <b>text</b>", "")
    assert window.strip.message.full_text() == "plain <b>text</b>"
    assert not window.strip.details_button.isVisible()
    window.session.report_error(SourceError("broken", hint="mend it"))
    assert window.strip.details_button.isVisible()
    window.strip.details_button.click()
    dialog = window.findChild(DetailsDialog)
    assert dialog is not None
    assert "mend it" in dialog.findChild(QPlainTextEdit).toPlainText()
    dialog.close()


def test_the_strip_shows_device_memory_and_the_running_job(qtbot: QtBot, window: MainWindow, verbs: Script) -> None:
    plan = open_one(qtbot, window)
    assert "B of " in window.strip.memory.text()
    assert not window.strip.job_bar.isVisible()
    verbs.gate.clear()
    window.session.runner.start(plan, RunOptions("out"))
    qtbot.waitUntil(lambda: window.strip.job.text().startswith("Running "))
    assert window.strip.job_bar.isVisible()
    verbs.gate.set()
    qtbot.waitUntil(lambda: not window.strip.job_bar.isVisible())


def test_closing_during_a_run_asks_first_and_then_stops_it(qtbot: QtBot, window: MainWindow, verbs: Script) -> None:
    plan = open_one(qtbot, window)
    verbs.gate.clear()
    window.session.runner.start(plan, RunOptions("out"))
    qtbot.waitUntil(lambda: window.session.runner.progress.bytes_done > 0)
    window.may_stop = lambda: False  # type: ignore[method-assign]
    assert not window.close()
    assert window.session.runner.state is RunState.RUNNING
    window.may_stop = lambda: True  # type: ignore[method-assign]
    assert window.close()
    assert verbs.closed.is_set()


def test_size_and_splitters_are_kept_for_the_next_start(
    qtbot: QtBot, window: MainWindow, settings: Settings, verbs: Script
) -> None:
    window.resize(800, 640)  # the offscreen screen is no larger than 800x800
    window.go(Step.RUN)
    window.run_page.splitter.setSizes([300, 200])
    sizes = window.run_page.splitter.sizes()
    window.close()
    again = MainWindow(Session(verbs), settings)
    qtbot.addWidget(again)
    again.show()
    again.go(Step.RUN)
    assert again.height() == 640
    assert again.run_page.splitter.sizes() == sizes


def test_a_narrow_window_keeps_the_drawings_of_the_rail(window: MainWindow) -> None:
    wide = window.rail.width()
    window.resize(860, 600)
    assert window.rail.width() < wide / 2
    assert window.rail.buttons[Step.RUN].accessibleName().startswith("Run")


@pytest.mark.parametrize("size", [(1280, 720), (800, 520)])
@pytest.mark.parametrize("step", list(Step))
def test_no_page_needs_more_room_than_the_window_has(
    window: MainWindow, step: Step, size: tuple[int, int], qtbot: QtBot
) -> None:
    open_one(qtbot, window)
    window.go(step)
    window.resize(*size)
    assert (window.width(), window.height()) == size


@pytest.mark.parametrize("theme", [ThemeName.LIGHT, ThemeName.DARK])
def test_each_theme_paints_every_page_in_its_own_shades(
    qtbot: QtBot, qapp: QApplication, window: MainWindow, theme: ThemeName
) -> None:
    open_one(qtbot, window)
    apply_theme(qapp, theme)
    assert colors(window.palette()).dark == (theme is ThemeName.DARK)
    for step in Step:
        window.go(step)
        corner = window.grab().toImage().pixelColor(4, window.height() // 2)
        assert (corner.lightnessF() < 0.5) == (theme is ThemeName.DARK)
    apply_theme(qapp, ThemeName.LIGHT)


def test_the_theme_menu_changes_the_theme_and_keeps_it(
    qapp: QApplication, window: MainWindow, settings: Settings
) -> None:
    dark = next(action for action in window.findChildren(QAction) if action.text() == "&Dark")
    dark.trigger()
    assert colors(window.palette()).dark
    assert settings.text("theme") == "dark"
    apply_theme(qapp, ThemeName.LIGHT)


def test_tab_walks_through_the_run_page_from_top_to_bottom(qtbot: QtBot, window: MainWindow) -> None:
    open_one(qtbot, window)
    window.go(Step.RUN)
    page = window.run_page
    qtbot.waitUntil(page.start_button.isEnabled)
    page.output_field.edit.setFocus()
    visited = []
    for _ in range(10):
        visited.append(QApplication.focusWidget().objectName())
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    above = ["outputEdit", "browseOutputButton", "verifyCombo", "deviceCombo"]
    limits = ["memoryLimitSpin", "deviceMemoryLimitSpin"]
    buttons = ["startButton", "queueButton"]
    assert visited == [*above, *limits, *buttons, "jobFilterEdit", "jobTable"]
