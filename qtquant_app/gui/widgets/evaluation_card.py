"""What the result gives beside its original: run on samples and on prompts, in the background."""

from __future__ import annotations

import time

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QProgressBar

from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.evaluation import Evaluation, Speed
from qtquant_app.core.events import Event, RunStarted, StageChanged, TextRead
from qtquant_app.core.quantities import NOTHING, duration_text, figure, plural
from qtquant_app.gui.models.agreement_table import AGREEMENT_COLUMNS, figure_or_dash, percent_text
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.progress import ProgressMeter
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.continuations_view import ContinuationsView
from qtquant_app.gui.widgets.evaluation_choice import EvaluationChoice
from qtquant_app.gui.widgets.facts import Facts
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

PERPLEXITY, BASE, KL, WORST, SAME = (
    "Perplexity",
    "of the original",
    "KL divergence",
    "99% of tokens below",
    "Same likeliest token",
)
_FACTS = (PERPLEXITY, BASE, KL, WORST, SAME)
_NOT_YET = "Runs both models on the same: perplexity, KL divergence, how often they agree, how far each output is off."
_NO_BASE = "Open the original on the Source page to evaluate it."
_TIMED = "qtquant"
"""The format that this program runs itself."""
_UNITS = {"text": "tokens", "mixed": "tokens", "images": "images", "audio": "sounds"}


class EvaluationCard(Card):
    """The evaluation of one result; forgotten when another is shown."""

    failed = Signal(object)
    """QtQuantError."""
    evaluated = Signal(object)
    """Evaluation."""

    def __init__(self, session: Session) -> None:
        super().__init__("Evaluation")
        self._session = session
        self._latest = Latest(self)
        self._meter = ProgressMeter(0.0)
        self._folder, self._base = "", ""
        self._known: Evaluated | None = None
        self._done, self._asked = 0, False
        """What was read last; and whether the samples are through, and the prompts are being gone on with."""
        self.evaluate_button = Button("Eval&uate", "check", name="evaluateButton")
        self.stop_button = Button("Stop", name="stopEvaluationButton", tip="Stops the evaluation")
        self.stop_button.setAccessibleName("Stop the evaluation")
        self.choice = EvaluationChoice()
        self.state = Text(muted=True, wrap=True)
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress of the evaluation")
        self.progress_bar.setRange(0, 1000)
        self.progress_bar.setTextVisible(False)
        self.facts = Facts(_FACTS, columns=2)
        self.outputs_model = RowsModel(AGREEMENT_COLUMNS, self)
        self.outputs_table = Table(self.outputs_model, "outputsTable", "Agreement of each output")
        self.continuations = ContinuationsView()
        self._lay_out()
        self._connect()
        self.show_result("", "")

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def show_result(self, folder: str, base: str, format: str = "", known: Evaluated | None = None) -> None:
        """Stands ready for the result in `folder`, made from `base`; without a base it says what is missing.

        `known` is what the record of the result says already.
        """
        self._latest.cancel()
        self._folder, self._base, self._known = folder, base, known
        self._clear()
        ready = bool(folder and base)
        self.evaluate_button.setEnabled(ready)
        self.choice.set_timed(format == _TIMED)
        self._say_ready()

    def _say_ready(self) -> None:
        """What is known, and what can be done next."""
        known = self._known
        if known is not None:
            self._show_numbers(known)
        before = "" if known is None else f"Evaluated before: {known.tokens:,} tokens of {known.text}. "
        missing = bool(self._folder and not self._base)
        self.state.setText(before + (_NO_BASE if missing else "" if known is not None else _NOT_YET))

    def start(self) -> None:
        """Evaluates in a worker."""
        self._meter = ProgressMeter(time.monotonic())
        self._clear()
        self.state.setText("Loading the model…")
        choice, verbs = self.choice, self._session.verbs
        self._latest.submit(
            verbs.evaluate(
                self._folder, self._base, choice.text, self._session.device, prompts=choice.prompts, speed=choice.speed
            )
        )

    def _lay_out(self) -> None:
        self.header.addWidget(self.stop_button)
        self.header.addWidget(self.evaluate_button)
        self.outputs_table.fit_rows(1)
        parts = (self.choice, self.state, self.progress_bar, self.facts, self.outputs_table)
        for part in parts:
            self.add(part)
        self.add(self.continuations, 1)
        self.progress_bar.hide()
        self.stop_button.hide()

    def _connect(self) -> None:
        self.evaluate_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self._latest.cancel)
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(self._on_failed)
        self._latest.busy_changed.connect(self._on_busy)

    def _clear(self) -> None:
        self._done, self._asked = 0, False
        self.progress_bar.setValue(0)
        for part in (self.facts, self.outputs_table):
            part.hide()
        self.continuations.show_continuations(())
        for name in _FACTS:
            self.facts.set(name, "")

    def _on_busy(self, busy: bool) -> None:
        self.progress_bar.setVisible(busy)
        self.stop_button.setVisible(busy)
        self.choice.setDisabled(busy)
        self.evaluate_button.setVisible(not busy)
        if not busy and self.facts.isHidden():
            self._say_ready()

    def _on_batch(self, events: list[Event]) -> None:
        now = time.monotonic()
        for event in events:
            match event:
                case RunStarted():
                    self._meter = ProgressMeter(now)
                    self.state.setText("Reading the result…")
                case StageChanged(stage="check"):
                    self._meter = ProgressMeter(now)
                    self.state.setText("Both models read…")
                case TextRead():
                    self._show_read(event, now)
        progress = self._meter.add(events, now)
        if progress.bytes_done:
            self.progress_bar.setValue(round(1000 * progress.fraction))

    def _show_read(self, read: TextRead, now: float) -> None:
        """The samples first; where counting begins anew, the prompts, and the timing."""
        if read.done < self._done:
            self._meter, self._asked = ProgressMeter(now), True
        self._done = read.done
        elapsed = self._meter.at(now).elapsed
        left = elapsed * (read.total - read.done) / read.done if read.done else 0.0
        self.progress_bar.setValue(round(1000 * read.done / max(1, read.total)))
        what = "of the prompts and the timing" if self._asked else "read"
        self.state.setText(f"{read.done:,} of {read.total:,} {what}, {duration_text(left)} left")

    def _on_result(self, found: Evaluation) -> None:
        self._show_numbers(found)
        self.facts.set(WORST, NOTHING if found.kl_p99 is None else f"{figure(found.kl_p99)} nats")
        self.outputs_model.set_rows(found.outputs)
        self.outputs_table.setVisible(bool(found.outputs))
        self.continuations.show_continuations(found.continuations)
        self.state.setText(_said(found))
        self.evaluated.emit(found)

    def _show_numbers(self, found: Evaluation | Evaluated) -> None:
        self.facts.set(PERPLEXITY, figure_or_dash(found.perplexity))
        self.facts.set(BASE, figure_or_dash(found.base_perplexity))
        self.facts.set(KL, _divergence(found))
        self.facts.set(WORST, NOTHING)
        self.facts.set(SAME, percent_text(found.top1_agreement))
        self.facts.show()

    def _on_failed(self, error: object) -> None:
        self.state.setText("Not evaluated: see the message.")
        self.failed.emit(error)


def _divergence(found: Evaluation | Evaluated) -> str:
    if found.kl is None:
        return NOTHING
    spread = f" \N{PLUS-MINUS SIGN} {found.kl_interval:.2g}" if found.kl_interval is not None else ""
    by_sample = isinstance(found, Evaluation) and found.kind in ("images", "audio")
    return f"{figure(found.kl)}{spread} nats a {'sample' if by_sample else 'token'}"


def _speed(speed: Speed | None) -> str:
    """How fast both are, as a sentence; empty where that was not measured."""
    if speed is None:
        return ""
    reading = f"{speed.reading:.0f} when reading (the original {speed.base_reading:.0f})"
    return f" Tokens a second: {reading}, {speed.writing:.1f} when writing ({speed.base_writing:.1f})."


def _said(found: Evaluation) -> str:
    """Where the numbers come from, in a sentence."""
    counted = f"{found.tokens:,} {_UNITS.get(found.kind, 'samples')} of {found.text}"
    rounded = f"; inputs of layers rounded to {found.activations}" if found.activations != "none" else ""
    blocks = ", block by block" if found.streamed else ""
    windows = f" in {plural(found.windows, 'sample')}" if found.kind == "text" else ""
    return f"{counted}{windows}, in {duration_text(found.seconds)}{blocks}{rounded}.{_speed(found.speed)}"
