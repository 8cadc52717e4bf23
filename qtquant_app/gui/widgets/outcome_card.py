"""What a run came to, beside what had been said of it before."""

from __future__ import annotations

from qtquant_app.core.coverage import coverage_text, low_coverage_text
from qtquant_app.core.outcome import outcomes
from qtquant_app.core.report import RunReport
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.coverage_panel import CoveragePanel
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

COLUMNS = (
    Column("What", lambda o: o.what, lambda o: o.what),
    Column("Predicted", lambda o: o.predicted_text, lambda o: o.predicted, "888.8 MB", True),
    Column("Measured", lambda o: o.measured_text, lambda o: o.measured, "888.8 MB", True),
    Column("Difference", lambda o: o.difference_text, lambda o: o.measured - o.predicted, "+888.8 MB, +88 %", True),
)
_ROWS = 4


class OutcomeCard(Card):
    """Sizes, memory and time of the last run: predicted, measured, and the difference."""

    def __init__(self) -> None:
        super().__init__("Predicted and measured")
        self.setObjectName("outcomeCard")
        self.model = RowsModel(COLUMNS, self)
        self.table = Table(self.model, "outcomeTable", "What was predicted beside what happened")
        self.table.set_empty_text("After a run, what was predicted shows here beside what happened.")
        self.table.fit_rows(_ROWS)
        self.warning = CoveragePanel("outcomeCoverage")
        self.coverage = Text(wrap=True).set_selectable()
        self.coverage.setAccessibleName("Coverage")
        self.coverage.setVisible(False)
        self.add(self.warning)
        self.add(self.table)
        self.add(self.coverage)
        self.body.addStretch(1)

    def set_report(self, report: RunReport | None) -> None:
        """Shows what came of a run; None where there was none yet."""
        self.model.set_rows(() if report is None else outcomes(report))
        percent = 100.0 if report is None else report.coverage.parameters_quantized_percent
        low = report is not None and report.coverage.low
        self.warning.show_text(low_coverage_text(percent) if low else "")
        self.coverage.setText("" if report is None else f"Quantized: {coverage_text(percent)}")
        self.coverage.setVisible(report is not None)
