"""When the program itself fails: whatever nothing else caught becomes a report that can be copied, and the window goes on."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal
from PySide6.QtWidgets import QApplication, QWidget

from qtquant_app.core.crash_report import crash_report
from qtquant_app.core.trail import LOGGER, TRAIL, log_events
from qtquant_app.gui.failure_report import facts, internal_report, report_of
from qtquant_app.gui.widgets.crash_panel import CrashPanel
from qtquant_app.logs import log_tail, save_report
from qtquant_app.watch import Ended, ended_badly

if TYPE_CHECKING:
    from qtquant_app.core.errors import QtQuantError
    from qtquant_app.gui.session import Session

MOST_KINDS = 20
"""Different failures that are reported; after so many, another report helps nobody."""
_TAIL_LINES = 40


class Catcher(QObject):
    """Takes over what no one caught, in any thread, from `install` on. Counts what repeats and never fails itself."""

    _caught = Signal(object, bool)
    """The exception, and whether it is the first of its kind."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._panel: CrashPanel | None = None
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._since_shown: Counter[tuple[object, ...]] = Counter()
        self._before = sys.excepthook, threading.excepthook
        self._caught.connect(self._take, Qt.ConnectionType.QueuedConnection)  # it may have come out of a paint event

    def install(self) -> None:
        """Sets the hooks of the interpreter and of its threads."""
        self._before = sys.excepthook, threading.excepthook
        sys.excepthook = self._hook
        threading.excepthook = self._thread_hook

    def uninstall(self) -> None:
        """Puts back the hooks that were there before."""
        sys.excepthook, threading.excepthook = self._before

    def _thread_hook(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            self._hook(args.exc_type, args.exc_value, args.exc_traceback)

    def _hook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QCoreApplication.quit()
            return
        try:
            key = kind_of(error)
            first = key not in self._seen and len(self._seen) < MOST_KINDS
            self._seen[key] += 1
            self._since_shown[key] += 1
            if first:
                traceback.print_exception(kind, error, trace)
                LOGGER.error("an unexpected error", exc_info=error)
            self._caught.emit(error, first)
        except Exception:  # the window may be gone; what failed first is what counts
            with suppress(Exception):
                sys.__excepthook__(kind, error, trace)

    def _take(self, error: BaseException, first: bool) -> None:
        with suppress(Exception):
            if first:
                self._report(error)
            if self._panel is not None:
                self._panel.set_count(self._since_shown.total(), len(self._since_shown))

    def _report(self, error: BaseException) -> None:
        what = f"an unexpected error: {type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        report = report_of(what, error)
        save_report(report)
        self._session.message.emit(what, report)
        if self._panel is not None:
            self._panel.add(report)
            return
        self._panel = CrashPanel(what, report, front_window())
        self._panel.destroyed.connect(self._forget_panel)
        self._panel.show()

    def _forget_panel(self) -> None:
        self._panel = None
        self._since_shown.clear()


def kind_of(error: BaseException) -> tuple[object, ...]:
    """What makes two failures the same: their type, and the line that failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return type(error), trace.tb_frame.f_code.co_filename if trace else "", trace.tb_lineno if trace else 0


def show_report(error: QtQuantError, parent: QWidget | None) -> None:
    """Opens the report of a job that ended with an exception that is not one of ours."""
    CrashPanel(error.message, internal_report(error), parent).show()


def front_window() -> QWidget | None:
    """The window to show a report beside."""
    windows = [widget for widget in QApplication.topLevelWidgets() if widget.objectName() == "mainWindow"]
    return next((window for window in windows if window.isVisible()), None) or QApplication.activeWindow()


def follow(session: Session) -> None:
    """Keeps the trail and the log of what happens in `session`: its messages, its device, its runs."""

    def note_device(_: object = None) -> None:
        TRAIL.facts["device"] = session.plan.device if session.plan else session.device

    session.message.connect(lambda text, _: TRAIL.say(text))
    session.device_changed.connect(note_device)
    session.plan_changed.connect(note_device)
    runner = session.runner
    runner.state_changed.connect(lambda state: LOGGER.info("run: %s", state))
    runner.failed.connect(lambda error: LOGGER.error("run failed: %s (%s)", error.message, error.code))
    runner.batch.connect(log_events)
    note_device()


def tell_of_last_session(session: Session, parent: QWidget) -> None:
    """Says that the last window ended in a crash, where one did, and offers its report; one that lives is not meant."""
    for ended in ended_badly():
        if ended.trace:
            what = f"the last session ended in a crash ({ended.trace.splitlines()[0]})"
            report = crash_report(what, ended.trace, happened=_log_of(ended), facts=facts())
            save_report(report)
            session.message.emit(what, report)
            CrashPanel(what, report, parent, title="The last session ended in a crash").show()
        elif ended.kind == "window":
            text = f"The session of {ended.started} was ended from outside: killed, out of memory, or without power"
            session.message.emit(text, "\n".join(_log_of(ended)))


def _log_of(ended: Ended) -> list[str]:
    return log_tail(ended.process)[-_TAIL_LINES:]
