"""What the result says beside its original: run on a text, in the background."""

from __future__ import annotations

import time

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QProgressBar

from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.events import Event, RunStarted, StageChanged, TextRead
from qtquant_app.core.quantities import duration_text, figure
from qtquant_app.gui.progress import ProgressMeter
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.facts import Facts
from qtquant_app.gui.widgets.text import Elided, Text
from qtquant_app.jobs.latest import Latest

PERPLEXITY, BASE, KL, WORST, SAME = (
    "Perplexity",
    "of the original",
    "KL divergence",
    "99% of tokens below",
    "Same likeliest token",
)
BUILT_IN = "Python's language reference"
_NOT_YET = "Runs both models on a text: perplexity, KL divergence and how often they agree."


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
        self._folder, self._base, self._text = "", "", ""
        self.evaluate_button = Button("Eval&uate", "check", name="evaluateButton")
        self.stop_button = Button("Stop", name="stopEvaluationButton", tip="Stops the evaluation")
        self.text_button = Button(
            "Te&xt…", "open", name="evaluationTextButton", tip="Reads a text file of yours instead"
        )
        self.text_label = Elided()
        self.state = Text(muted=True, wrap=True)
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress of the evaluation")
        self.progress_bar.setRange(0, 1000)
        self.progress_bar.setTextVisible(False)
        self.facts = Facts((PERPLEXITY, BASE, KL, WORST, SAME), columns=2)
        self._lay_out()
        self.evaluate_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self._latest.cancel)
        self.text_button.clicked.connect(self.choose_text)
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(self._on_failed)
        self._latest.busy_changed.connect(self._on_busy)
        self.show_result("", "")

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def show_result(self, folder: str, base: str) -> None:
        """Stands ready for the result in `folder`, made from `base`; without a base it says what is missing."""
        self._latest.cancel()
        self._folder, self._base = folder, base
        self._clear()
        ready = bool(folder and base)
        self.evaluate_button.setEnabled(ready)
        self.state.setText(_NOT_YET if ready or not folder else "Open the original on the Source page to evaluate it.")

    def choose_text(self) -> None:
        """Asks for a text file; none chosen keeps what there is."""
        path, _ = QFileDialog.getOpenFileName(self, "A text to read", "", "Text (*.txt *.md *.jsonl);;All files (*)")
        if path:
            self.set_text(path)

    def set_text(self, path: str) -> None:
        """Reads the file at `path` from now on; empty for the built-in text."""
        self._text = path
        self._show_text()

    def start(self) -> None:
        """Evaluates in a worker."""
        self._meter = ProgressMeter(time.monotonic())
        self._clear()
        self.state.setText("Loading the model…")
        self._latest.submit(self._session.verbs.evaluate(self._folder, self._base, self._text, self._session.device))

    def _lay_out(self) -> None:
        self.header.addWidget(self.text_button)
        self.header.addWidget(self.stop_button)
        self.header.addWidget(self.evaluate_button)
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(Text("Text:", muted=True))
        line.addWidget(self.text_label, 1)
        self.body.addLayout(line)
        self.add(self.state)
        self.add(self.progress_bar)
        self.add(self.facts)
        self.progress_bar.hide()
        self.stop_button.hide()
        self._show_text()

    def _show_text(self) -> None:
        self.text_label.setText(f"the second half of {self._text or BUILT_IN}")

    def _clear(self) -> None:
        self.facts.hide()
        for name in (PERPLEXITY, BASE, KL, WORST, SAME):
            self.facts.set(name, "")

    def _on_busy(self, busy: bool) -> None:
        self.progress_bar.setVisible(busy)
        self.stop_button.setVisible(busy)
        self.text_button.setDisabled(busy)
        self.evaluate_button.setVisible(not busy)
        if not busy and self.facts.isHidden():
            self.state.setText(_NOT_YET)

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
        if progress.bytes_total:
            self.progress_bar.setValue(round(1000 * progress.fraction))

    def _show_read(self, read: TextRead, now: float) -> None:
        elapsed = self._meter.at(now).elapsed
        left = elapsed * (read.total - read.done) / read.done if read.done else 0.0
        self.progress_bar.setValue(round(1000 * read.done / max(1, read.total)))
        self.state.setText(f"{read.done:,} of {read.total:,} tokens, {duration_text(left)} left")

    def _on_result(self, found: Evaluation) -> None:
        self.facts.set(PERPLEXITY, figure(found.perplexity))
        self.facts.set(BASE, figure(found.base_perplexity))
        self.facts.set(KL, f"{figure(found.kl)} \N{PLUS-MINUS SIGN} {found.kl_interval:.2g} nats a token")
        self.facts.set(WORST, f"{figure(found.kl_p99)} nats")
        self.facts.set(SAME, f"{100 * found.top1_agreement:.2f} %")
        self.facts.show()
        rounded = f"; inputs of layers rounded to {found.activations}" if found.activations != "none" else ""
        self.state.setText(f"{found.tokens:,} tokens of {found.text}, in {duration_text(found.seconds)}{rounded}.")
        self.evaluated.emit(found)

    def _on_failed(self, error: object) -> None:
        self.state.setText("Not evaluated: see the message.")
        self.failed.emit(error)
