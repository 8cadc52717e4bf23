"""A checkpoint, a recipe and errors full of markup and control characters: all of it is shown as text, and none too long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QAbstractItemModel, QAbstractListModel, QLocale, QModelIndex, Qt
from PySide6.QtGui import QAction
from PySide6.QtGui import Qt as GuiQt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QLabel,
    QMenu,
    QTabBar,
    QTextEdit,
    QWidget,
)
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import SourceError
from qtquant_app.core.escaping import visible_lines
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.recent_list import RecentList
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.text import Text, plain_tip
from tests.gui.conftest import MakeWindow
from tests.gui.walking import views
from tests.hostile import EVIL, LAYER, LONG, hostile_checkpoint

LONGEST_TIP = 4_000
ROLES = (
    Qt.ItemDataRole.DisplayRole,
    Qt.ItemDataRole.ToolTipRole,
    Qt.ItemDataRole.StatusTipRole,
    Qt.ItemDataRole.AccessibleTextRole,
    Qt.ItemDataRole.AccessibleDescriptionRole,
)
ROWS = 40


@pytest.fixture
def window(make_window: MakeWindow, qtbot: QtBot, tmp_path: Path) -> MainWindow:
    found = make_window(Verbs())
    found.session.open(str(hostile_checkpoint(tmp_path)))
    qtbot.waitUntil(lambda: found.session.plan is not None, timeout=20_000)
    return found


def words_of(widget: QWidget) -> Iterator[tuple[str, str, bool]]:
    """(where, text, whether markup in it would be interpreted) for all that a widget may show."""
    yield "tool tip", widget.toolTip(), True
    yield "status tip", widget.statusTip(), False
    yield "what's this", widget.whatsThis(), True
    yield "title", widget.windowTitle(), False
    for action in widget.actions():
        yield from _of_action(action)
    if isinstance(widget, QLabel):
        yield "label", widget.text(), widget.textFormat() != Qt.TextFormat.PlainText
    elif isinstance(widget, QAbstractButton):
        yield "button", widget.text(), False
    elif isinstance(widget, QTabBar):
        for at in range(widget.count()):
            yield "tab", widget.tabText(at), False
            yield "tab's tool tip", widget.tabToolTip(at), True
    elif isinstance(widget, QComboBox):
        yield from _of_model(widget.model())
    elif isinstance(widget, RecentList):  # its delegate says what is shown; the model, what is opened
        for row in range(widget.model().rowCount(QModelIndex())):
            path = widget.model().index(row, 0).data()
            yield "path", widget.itemDelegate().displayText(path, QLocale()), False  # type: ignore[attr-defined]
    elif isinstance(widget, QAbstractItemView) and widget.model() is not None:
        yield from _of_model(widget.model())
    elif isinstance(widget, QTextEdit):
        yield "document", widget.toPlainText(), not widget.toPlainText()
    elif isinstance(widget, Sentence):
        yield "sentence", widget.text(), False


def _of_action(action: QAction) -> Iterator[tuple[str, str, bool]]:
    yield "action", action.text(), False
    yield "action's tool tip", action.toolTip(), True
    yield "action's status tip", action.statusTip(), False


def _of_model(model: QAbstractItemModel, parent: QModelIndex | None = None) -> Iterator[tuple[str, str, bool]]:
    above = QModelIndex() if parent is None else parent
    for row in range(min(ROWS, model.rowCount(above))):
        for column in range(1 if isinstance(model, QAbstractListModel) else model.columnCount(above)):
            index = model.index(row, column, above)
            for role in ROLES:
                value = model.data(index, role)
                if isinstance(value, str):
                    yield f"cell ({role.name})", value, role == Qt.ItemDataRole.ToolTipRole
        first = model.index(row, 0, above)
        if model.rowCount(first):
            yield from _of_model(model, first)


def faults(root: QWidget) -> set[str]:
    """Where markup would be interpreted, what cannot be seen would be shown, or a tip would fill the screen."""
    found = set()
    for widget in (root, *root.findChildren(QWidget)):
        name = f"{type(widget).__name__} {widget.objectName() or widget.accessibleName()[:40]}"
        for where, text, markup in words_of(widget):
            rich = markup and GuiQt.mightBeRichText(text)
            if rich and ("<img" in text or "<b>" in text):
                found.add(f"{name}: {where} is read as markup: {text[:70]!r}")
            if text.replace("\t", "") != visible_lines(text.replace("\t", "")):
                found.add(f"{name}: {where} holds control characters: {text[:70]!r}")
            if "tip" in where.lower() and len(text) > LONGEST_TIP:
                found.add(f"{name}: {where} is {len(text)} characters long")
    return found


def every_fault(window: MainWindow) -> set[str]:
    found = set()
    for view, _ in views(window):
        found |= {f"{view}: {fault}" for fault in faults(window)}
    return found


def test_the_walk_finds_a_label_that_guesses(qtbot: QtBot) -> None:
    careless = QWidget()
    qtbot.addWidget(careless)
    QLabel(EVIL, careless)
    careless.setToolTip("<b>bold</b>")
    assert len(faults(careless)) == 3


def test_no_page_reads_a_name_as_markup(window: MainWindow) -> None:
    assert every_fault(window) == set()


def test_neither_does_a_tensor_looked_at(window: MainWindow, qtbot: QtBot) -> None:
    window.go(Step.INSPECT)
    for name in (LAYER, f"model.layers.1.{LONG}.mlp.down_proj.weight"):
        window.session.select(name)
        qtbot.waitUntil(
            lambda name=name: (  # type: ignore[misc]
                (shown := window.inspect_page.inspection.preview) is not None and shown.layer == name
            ),
            timeout=60_000,
        )
        assert every_fault(window) == set()


def test_neither_do_the_rules_and_faults_of_a_recipe(window: MainWindow, qtbot: QtBot) -> None:
    rules = (Rule(f"*{EVIL}*", Scheme(bits=8, group_size=32)), Rule(f"<b>{EVIL}", "keep"), Rule(LONG, "keep"))
    with qtbot.waitSignal(window.session.plan_changed, timeout=60_000):
        window.session.set_recipe(Recipe(Scheme(group_size=32), rules, (f"<img>{EVIL}",)), "hostile")
    QApplication.processEvents()
    assert every_fault(window) == set()


def test_neither_does_an_error(window: MainWindow) -> None:
    window.session.report_error(SourceError(f"{EVIL} {LONG} is damaged", hint=f"do {EVIL}", code="x"))
    assert every_fault(window) == set()


def test_neither_does_an_open_menu(window: MainWindow) -> None:
    found = set()
    for menu in window.findChildren(QMenu):
        menu.aboutToShow.emit()
        QApplication.processEvents()
        found |= faults(menu)
    assert found == set()


@pytest.mark.parametrize("text", [EVIL, LONG, "<qt>", "&lt;b&gt;", "plain"])
def test_a_tip_reads_as_its_text(qtbot: QtBot, text: str) -> None:
    label = QLabel(plain_tip(text))
    qtbot.addWidget(label)
    label.setTextFormat(Qt.TextFormat.PlainText)
    assert len(label.text()) <= LONGEST_TIP
    assert "<b>" not in label.text() and "<img" not in label.text() and "\x1b" not in label.text()


def test_a_label_shows_what_cannot_be_seen_as_such(qtbot: QtBot) -> None:
    label = Text(EVIL)
    qtbot.addWidget(label)
    assert "\x1b" not in label.text() and "\u202e" not in label.text() and "<b>b</b>" in label.text()
