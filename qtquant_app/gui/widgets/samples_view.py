"""What the samples are, before they are used: how many, in what languages, the first few, what was refused and why."""

from __future__ import annotations

from PySide6.QtWidgets import QPlainTextEdit, QVBoxLayout, QWidget

from qtquant_app.core.calibration import SampleShown, SamplesReport
from qtquant_app.core.escaping import shortened, visible
from qtquant_app.core.quantities import percent, plural, shape_text
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.text import Text

_LANGUAGES = 6
_LONGEST = 300
"""Characters of a sample that are shown."""
_LINES = 9


class SamplesView(QWidget):
    """Hidden until there is a report to show."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Text(wrap=True).set_selectable()
        self.counts.setAccessibleName("What the samples are")
        self.languages = Text(muted=True, wrap=True)
        self.synthetic = Text(wrap=True, warning=True)
        self.remarks = Text(muted=True, wrap=True)
        self.first = QPlainTextEdit()
        self.first.setObjectName("firstSamples")
        self.first.setAccessibleName("The first samples")
        self.first.setReadOnly(True)
        self.first.setTabChangesFocus(True)
        self.first.setFixedHeight(_LINES * self.first.fontMetrics().lineSpacing() + 4 * GRID)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        for part in (self.counts, self.languages, self.synthetic, self.remarks, self.first):
            layout.addWidget(part)
        self.hide()

    def show_report(self, report: SamplesReport | None) -> None:
        """Shows `report`; None hides the view."""
        self.setVisible(report is not None)
        if report is None:
            return
        _say(self.counts, _counts(report))
        _say(self.languages, _languages(report))
        _say(self.synthetic, _synthetic(report))
        refused = [f"Refused: {entry.count:,}, {entry.reason}." for entry in report.refused]
        _say(self.remarks, "\n".join([*refused, *(f"{note[:1].upper()}{note[1:]}." for note in report.notes)]))
        self.first.setPlainText("\n\n".join(_shown(at, sample) for at, sample in enumerate(report.shown, 1)))
        self.first.setVisible(bool(report.shown))


def _say(label: Text, words: str) -> None:
    label.setText(words)
    label.setVisible(bool(words))


def _counts(report: SamplesReport) -> str:
    fewer = f", of {report.asked:,} asked for" if report.count < report.asked else ""
    words = f"{plural(report.count, 'sample')}{fewer}, from {visible(shortened(report.name, _LONGEST))}"
    if not report.tokens:
        return f"{words}."
    even = report.shortest == report.longest
    each = f"{report.longest:,}" if even else f"{report.shortest:,} to {report.longest:,}"
    return f"{words}: {report.tokens:,} tokens, {each} each."


def _languages(report: SamplesReport) -> str:
    named = [f"{language.name} ({percent(language.share)})" for language in report.languages[:_LANGUAGES]]
    return f"Probably {', '.join(named)}." if named else ""


def _synthetic(report: SamplesReport) -> str:
    """Said plainly: nobody should take a drawing for a photograph."""
    if not report.synthetic:
        return ""
    return f"Synthetic {' and '.join(report.synthetic)}: made by the program, of nothing real."


def _shown(number: int, sample: SampleShown) -> str:
    shapes = ", ".join(f"{name} {shape_text(shape)}" for name, shape in sample.shapes.items())
    return f"{number}.  {visible(shortened(sample.text, _LONGEST))}\n    {shapes}".rstrip()
