"""What happens to the run when its window closes: it is paused, given up, or goes on without a window."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QMainWindow, QMenu, QSystemTrayIcon

from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.icons import window_icon
from qtquant_app.gui.widgets.leave_dialog import Leave, LeaveDialog


class Leaving(QObject):
    """Asks once per close, in a dialog that the run goes on behind, and does what was chosen."""

    def __init__(self, session: Session, window: QMainWindow) -> None:
        super().__init__(window)
        self._session, self._window = session, window
        self._decided = False
        self.hidden = False
        """Whether the run goes on without the window, which closes by itself when all is done."""
        self.dialog: LeaveDialog | None = None
        self._tray: QSystemTrayIcon | None = None
        session.runner.state_changed.connect(self._on_state)
        session.queue.changed.connect(self._on_queue)
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(session.queue.stop_for_later)

    def may_close(self) -> bool:
        """Whether the window may close now; where it may not, somebody is asked, and it closes once that is decided."""
        if self._decided or not self._session.runner.state.active:
            return True
        if self.dialog is None:
            self._session.queue.changed.emit()
            self.dialog = LeaveDialog(len(self._session.queue.waiting), self._window)
            self.dialog.chosen.connect(self.do)
            self.dialog.finished.connect(self._forget_dialog)
            self.dialog.open()
        return False

    def do(self, choice: Leave) -> None:
        """Does what was chosen."""
        match choice:
            case Leave.PAUSE:
                self._decided = True
                self._window.close()
            case Leave.CANCEL:
                self._session.queue.set_going(False)
                self._decided = True
                self._session.runner.cancel()
                self._window.hide()
            case Leave.BACKGROUND:
                self._hide()
            case Leave.STAY:
                pass

    def show_again(self) -> None:
        """Brings the window back."""
        self.hidden = False
        self._set_quits_with_window(True)
        if self._tray is not None:
            self._tray.hide()
        self._window.show()
        self._window.raise_()
        self._window.activateWindow()

    def _hide(self) -> None:
        self.hidden = True
        self._set_quits_with_window(False)
        runner = self._session.runner
        if runner.state is RunState.PAUSED:
            runner.resume()
        if QSystemTrayIcon.isSystemTrayAvailable():
            self._show_tray()
        self._window.hide()
        self._on_state(runner.state)

    def _show_tray(self) -> None:
        if self._tray is None:
            self._tray = QSystemTrayIcon(window_icon(), self)
            menu = QMenu(self._window)
            for text, do in (("&Show the window", self.show_again), ("&Pause and quit", lambda: self.do(Leave.PAUSE))):
                entry = QAction(text, menu)
                entry.triggered.connect(lambda _=False, do=do: do())
                menu.addAction(entry)
            self._tray.setContextMenu(menu)
            self._tray.activated.connect(lambda _reason: self.show_again())
        self._tray.setToolTip("QtQuant is quantizing")
        self._tray.show()

    def _on_state(self, state: RunState) -> None:
        if state.active:
            return
        if self._decided:
            self._end()
        else:
            self._on_queue()

    def _on_queue(self) -> None:
        """Without a window, the program ends once nothing runs and nothing will."""
        queue = self._session.queue
        if self.hidden and not self._session.runner.state.active and not (queue.going and queue.waiting):
            self._decided = True
            self._end()

    def _end(self) -> None:
        hidden, self.hidden = not self._window.isVisible(), False
        self._set_quits_with_window(True)
        if self._tray is not None:
            self._tray.hide()
        self._window.close()
        app = QApplication.instance()
        if hidden and app is not None:  # the last window that shows quits; this one does not show
            app.quit()

    def _forget_dialog(self) -> None:
        self.dialog = None

    def _set_quits_with_window(self, quits: bool) -> None:
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.setQuitOnLastWindowClosed(quits)
