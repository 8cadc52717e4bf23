"""The menu bar: every action of the window with its shortcut."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QAction, QActionGroup, QKeySequence, QUndoStack
from PySide6.QtWidgets import QApplication, QMenu, QMenuBar, QWidget

from qtquant_app.gui.failure_report import system_information
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step
from qtquant_app.gui.theme import ThemeName, apply_theme
from qtquant_app.gui.widgets.details import DetailsDialog
from qtquant_app.gui.widgets.text import mnemonic_safe, plain_tip
from qtquant_app.logs import LOG, log_folder, log_tail

Key = str | QKeySequence.StandardKey


def action(parent: QWidget, text: str, do: Callable[[], object], keys: Key = "") -> QAction:
    """An action that calls `do`."""
    made = QAction(text, parent)
    if keys:
        made.setShortcut(QKeySequence(keys))
    made.triggered.connect(lambda _checked=False: do())
    return made


def theme_menu(parent: QWidget, settings: Settings) -> QMenu:
    """System, light, dark; kept for the next start."""
    menu = QMenu("&Theme", parent)
    group = QActionGroup(menu)
    app = QApplication.instance()
    current = app.property("theme") if app else None

    def choose(theme: ThemeName) -> None:
        settings.set("theme", theme.value)
        if isinstance(app, QApplication):
            apply_theme(app, theme)

    for theme in ThemeName:
        item = action(parent, f"&{theme.value.capitalize()}", lambda theme=theme: choose(theme))  # type: ignore[misc]
        item.setCheckable(True)
        item.setChecked(theme.value == (current or ThemeName.SYSTEM.value))
        group.addAction(item)
        menu.addAction(item)
    return menu


def recent_menu(parent: QWidget, session: Session, settings: Settings) -> QMenu:
    """The checkpoints opened lately, read anew each time the menu opens."""
    menu = QMenu("Open &recent", parent)

    def fill() -> None:
        menu.clear()
        for path in settings.recent():
            entry = action(menu, mnemonic_safe(path), lambda path=path: session.open(path))  # type: ignore[misc]
            entry.setToolTip(plain_tip(path))  # left out, it is the text, and may pass for markup
            menu.addAction(entry)
        menu.setEnabled(True)

    menu.aboutToShow.connect(fill)
    return menu


class HistoryAction(QAction):
    """Undo or redo, saying what it would: `Undo: rule for *.down_proj`.

    It goes by what the signals bring along: a history that is being taken down still sends them.
    """

    def __init__(self, verb: str, keys: str, parent: QWidget) -> None:
        super().__init__(verb, parent)
        self._verb = verb
        self.setShortcut(QKeySequence(keys))
        self.setEnabled(False)

    def say(self, text: str) -> None:
        self.setText(f"{self._verb}: {mnemonic_safe(text)}" if text else self._verb)
        self.setToolTip(plain_tip(f"{self._verb}: {text}" if text else self._verb))


def history_actions(parent: QWidget, history: QUndoStack) -> tuple[QAction, QAction]:
    """Ctrl+Z and Ctrl+Shift+Z over `history`."""
    undo, redo = HistoryAction("&Undo", "Ctrl+Z", parent), HistoryAction("&Redo", "Ctrl+Shift+Z", parent)
    undo.triggered.connect(history.undo)
    redo.triggered.connect(history.redo)
    history.undoTextChanged.connect(undo.say)
    history.redoTextChanged.connect(redo.say)
    history.canUndoChanged.connect(undo.setEnabled)
    history.canRedoChanged.connect(redo.setEnabled)
    return undo, redo


def step_actions(parent: QWidget, go: Callable[[Step], None]) -> list[QAction]:
    """Ctrl+1 to Ctrl+6."""
    titles = {step: f"&{step.title}" for step in Step} | {Step.RUN: "R&un"}  # the recipe has the R
    return [
        action(parent, title, lambda step=step: go(step), f"Ctrl+{step + 1}")  # type: ignore[misc]
        for step, title in titles.items()
    ]


def help_actions(parent: QWidget, session: Session) -> list[QAction]:
    """What helps whoever asks for help: the log, and what this computer is."""

    def show_log() -> None:
        lines = log_tail()
        if lines:
            DetailsDialog(f"the end of {log_folder() / LOG}", "\n".join(lines), parent).show()
        else:
            session.message.emit("Nothing has been logged yet", "")

    def copy_system() -> None:
        QApplication.clipboard().setText(system_information())
        session.message.emit("Copied what this computer and QtQuant are", system_information())

    found = [action(parent, "Show &log", show_log), action(parent, "Copy s&ystem information", copy_system)]
    for made, name in zip(found, ("showLogAction", "copySystemAction"), strict=True):
        made.setObjectName(name)
    return found


def add_menu(bar: QMenuBar, title: str, items: list[QAction | QMenu | None]) -> QMenu:
    """A menu of `items`; None is a line between."""
    menu = bar.addMenu(title)
    for item in items:
        if item is None:
            menu.addSeparator()
        elif isinstance(item, QMenu):
            menu.addMenu(item)
        else:
            menu.addAction(item)
    return menu
