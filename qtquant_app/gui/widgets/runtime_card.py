"""A result loaded in a runtime, in a process of its own, and held against our own reading of its files."""

from __future__ import annotations

import time

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QStandardItemModel
from PySide6.QtWidgets import QHBoxLayout, QProgressBar

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event, StageChanged
from qtquant_app.core.quantities import bytes_text, duration_text
from qtquant_app.core.runtime_report import RuntimeReport
from qtquant_app.gui.catalog import RuntimeChoice
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.path_field import PathField
from qtquant_app.gui.widgets.text import Text, plain_tip
from qtquant_app.jobs.latest import Latest

_ABOUT = "Loads it in a process of its own, has it read a text and go on, and compares with what the files decode to."
_NO_BASE = "Open the original on the Source page to try the result in a runtime."
_LOADING, _OURS = "The runtime loads and runs it", "Our own model of the files runs"
_TICK_MS = 500


class RuntimeCard(Card):
    """The runtimes that read the result's format, those not installed greyed; the check of one of them."""

    failed = Signal(object)
    """QtQuantError."""
    checked = Signal(object)
    """RuntimeReport."""
    copied = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__("Try it in a runtime")
        self.setObjectName("runtimeCard")
        self._session = session
        self._finder, self._latest = Latest(self), Latest(self)
        self._folder, self._base = "", ""
        self._found: tuple[RuntimeChoice, ...] = ()
        self._stage, self._began = _LOADING, 0.0
        self.report: RuntimeReport | None = None
        self.runtime_combo = ChoiceBox()
        self.runtime_combo.setObjectName("runtimeCombo")
        self.runtime_combo.setAccessibleName("Runtime to try the result in")
        self.runtime_combo.setMinimumContentsLength(18)
        self.try_button = Button("Try", "check", name="tryRuntimeButton", tip="Loads and runs it")
        self.try_button.setAccessibleName("Try the result in the runtime")
        self.stop_button = Button("Stop", name="stopRuntimeButton", tip="Ends the runtime's process")
        self.stop_button.setAccessibleName("Stop trying the runtime")
        self.copy_button = Button("Copy", "copy", name="copyRuntimeButton", tip="Copies what came of it")
        self.copy_button.setAccessibleName("Copy what came of trying it")
        hint = "this program's own, or venv/bin/python of another"
        self.python_field = PathField(
            "runtimePython", "Python of the runtime", hint=hint, folders=False, files="All files (*)"
        )
        self.state = Text(muted=True, wrap=True)
        self.missing = Text(muted=True, wrap=True).set_selectable()
        self.verdict = Text(bold=True, wrap=True).set_selectable()
        self.verdict.setObjectName("runtimeVerdict")
        self.figures = Text(wrap=True).set_selectable()
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("The runtime is at work")
        self.progress_bar.setRange(0, 0)
        self.progress_bar.setTextVisible(False)
        self._clock = QTimer(self, interval=_TICK_MS)
        self._lay_out()
        self._connect()
        self.show_result("", "", "")

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def show_result(self, folder: str, base: str, format: str) -> None:
        """Stands ready for the result in `folder`, made from `base`; without a base it says what is missing."""
        self._latest.cancel()
        self._folder, self._base = folder, base
        self._found = ()
        self._clear()
        self._fill()
        if folder:
            self._finder.submit(self._session.verbs.runtimes(format))

    def start(self) -> None:
        """Tries the chosen runtime in a worker."""
        self._clear()
        self._stage, self._began = _LOADING, time.monotonic()
        self._latest.submit(
            self._session.verbs.check_in_runtime(
                self._folder, self._base, str(self.runtime_combo.currentData()), self.python_field.path or None
            )
        )
        self._tick()

    def copy(self) -> None:
        """Puts verdict and figures on the clipboard, as text."""
        if self.report is not None:
            QGuiApplication.clipboard().setText(f"{self.report.verdict}\n{self.figures.text()}\n")
            self.copied.emit()

    def _lay_out(self) -> None:
        for widget in (self.copy_button, self.stop_button, self.try_button):
            self.header.addWidget(widget)
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(self.runtime_combo)
        line.addWidget(Text("by", muted=True))
        line.addWidget(self.python_field, 1)
        self.add(line)
        for below in (self.state, self.progress_bar, self.missing, self.verdict, self.figures):
            self.add(below)
        self.progress_bar.hide()
        self.stop_button.hide()

    def _connect(self) -> None:
        self.try_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self._latest.cancel)
        self.copy_button.clicked.connect(self.copy)
        self.python_field.changed.connect(self._fill)
        self._clock.timeout.connect(self._tick)
        self._finder.result.connect(self._take)
        self._finder.failed.connect(self.failed)
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_report)
        self._latest.failed.connect(self._on_failed)
        self._latest.busy_changed.connect(self._on_busy)

    def _take(self, found: tuple[RuntimeChoice, ...]) -> None:
        self._found = found
        self._fill()

    def _fill(self) -> None:
        """Offers the runtimes; with another Python than ours nobody knows what it has, so any can be tried."""
        elsewhere, kept = bool(self.python_field.path), self.runtime_combo.currentData()
        with QSignalBlocker(self.runtime_combo):
            self.runtime_combo.clear()
            for row, one in enumerate(self._found):
                usable = one.available or elsewhere
                version = next(iter(one.versions.values()), "") if one.available and not elsewhere else ""
                self.runtime_combo.addItem(f"{one.title} {version}".strip(), one.name)
                self.runtime_combo.setItemData(row, plain_tip(_tip(one, usable)), Qt.ItemDataRole.ToolTipRole)
                model = self.runtime_combo.model()
                if isinstance(model, QStandardItemModel):
                    model.item(row).setEnabled(usable)
            self._choose(kept, elsewhere)
        away = [] if elsewhere else [one for one in self._found if not one.available]
        words = "; ".join(f"{one.title} ({one.install})" for one in away)
        self.missing.setText(f"Not installed here: {words}." if words else "")
        self.missing.setVisible(bool(words))
        self._offer()

    def _choose(self, kept: object, elsewhere: bool) -> None:
        usable = [row for row, one in enumerate(self._found) if one.available or elsewhere]
        before = self.runtime_combo.findData(kept)
        self.runtime_combo.setCurrentIndex(before if before in usable else usable[0] if usable else -1)

    def _offer(self) -> None:
        chosen = self.runtime_combo.currentIndex() >= 0
        self.runtime_combo.setEnabled(bool(self._found) and not self.busy)
        self.try_button.setEnabled(bool(self._folder and self._base and chosen) and not self.busy)
        if self.busy or self.report is not None:
            return
        if self._folder and not self._base:
            self.state.setText(_NO_BASE)
        elif self._found and not chosen:
            self.state.setText("None of the runtimes that read this format is installed here.")
        else:
            self.state.setText(_ABOUT)

    def _clear(self) -> None:
        self.report = None
        for widget in (self.verdict, self.figures, self.copy_button):
            widget.hide()

    def _on_busy(self, busy: bool) -> None:
        self.progress_bar.setVisible(busy)
        self.stop_button.setVisible(busy)
        self.try_button.setVisible(not busy)
        self.python_field.setDisabled(busy)
        self._clock.start() if busy else self._clock.stop()
        self._offer()

    def _tick(self) -> None:
        self.state.setText(f"{self._stage}, {duration_text(time.monotonic() - self._began)} so far")

    def _on_batch(self, events: list[Event]) -> None:
        if any(isinstance(event, StageChanged) and event.stage == "verify" for event in events):
            self._stage = _OURS

    def _on_report(self, report: RuntimeReport) -> None:
        self.report = report
        mark, tone = ("\u2713", "good") if report.agrees else ("\u2715", "bad")
        self.verdict.setText(f"{mark}  {report.verdict}")
        self.verdict.set_tone(tone)
        took = f"{duration_text(report.seconds_to_load)} to load, {duration_text(report.seconds)} to run"
        rows = [*report.rows(), ("time", took), ("memory", bytes_text(report.peak_ram_bytes))]
        if report.difference is not None:
            rows.append(("its own noise", f"{100 * report.tolerance:g} %: {report.tolerance_reason}"))
        self.figures.setText("\n".join(f"{name}: {value}" for name, value in rows))
        self.figures.setAccessibleName("What came of it")
        for widget in (self.verdict, self.figures, self.copy_button):
            widget.show()
        self.state.setText(f"Tried in {duration_text(time.monotonic() - self._began)}.")
        self.checked.emit(report)

    def _on_failed(self, error: QtQuantError) -> None:
        self.state.setText("Not tried: see the message.")
        self.failed.emit(error)


def _tip(one: RuntimeChoice, usable: bool) -> str:
    """What of it is here, or what is missing and how to get it."""
    if usable:
        return ", ".join(f"{name} {version}" for name, version in one.versions.items()) or one.title
    return f"{', '.join(one.missing)} missing. To install it: {one.install}"
