"""What an audit found: the verdict, the findings, the tensors with their errors, and the ways to take them away."""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import QItemSelectionModel, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QMenu, QSplitter, QVBoxLayout, QWidget

from qtquant_app.core.audit import AuditReport
from qtquant_app.gui.exporter import exporter_of
from qtquant_app.gui.models.audit_table import AUDIT_COLUMNS, NARROW, findings_text, totals, verdict
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.audit_findings import AuditFindings
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.page import scrolled
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

SHOWN_AT_ONCE = 200
"""Rows of one finding that are chosen in the table: choosing thousands holds the window."""


class AuditResult(QWidget):
    """Findings above, tensors below."""

    copied = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.report: AuditReport | None = None
        self.verdict = Text(bold=True, wrap=True).set_selectable()
        self.verdict.setObjectName("auditVerdict")
        self.totals = Text(muted=True, wrap=True).set_selectable()
        self.findings = AuditFindings()
        self.model = RowsModel(AUDIT_COLUMNS, self)
        self.table = Table(self.model, "auditTable", "Tensors beside those of the base")
        self.table.set_narrow(NARROW)
        self.table.set_empty_text("No tensor is quantized or changed; tick the box to see those that are kept.")
        self.all_box = QCheckBox("Also tensors that are kept as they were")
        self.all_box.setObjectName("auditAllCheck")
        self.all_box.setAccessibleName("Also list tensors that are kept as they were")
        self.save_button = Button("Save…", "save", name="saveAuditButton", tip="Takes the audit away")
        self.save_button.setAccessibleName("Save the audit")
        self._lay_out()
        self.findings.tensors_wanted.connect(self.show_tensors)
        self.all_box.toggled.connect(self._fill)

    def show_report(self, report: AuditReport) -> None:
        """Shows what was found."""
        self.report = report
        words, tone = verdict(report)
        self.verdict.setText(words)
        self.verdict.set_tone(tone)
        self.totals.setText(totals(report))
        self.findings.set_findings(report.findings, [tensor.name for tensor in report.tensors])
        self._fill()
        QTimer.singleShot(0, self._share_room)

    def show_tensors(self, names: Collection[str]) -> None:
        """Chooses the rows of `names` in the table, and brings the first into sight."""
        wanted = set(names)
        report = self.report
        hidden = {tensor.name for tensor in report.tensors if tensor.state == "kept"} if report else set()
        if not self.all_box.isChecked() and wanted & hidden:
            self.all_box.setChecked(True)
        chosen = [row for row in range(self.model.rowCount()) if self.model.row(row).name in wanted]
        selection = self.table.selectionModel()
        selection.clearSelection()
        rows = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row in chosen[:SHOWN_AT_ONCE]:
            selection.select(self.model.index(row, 0), rows)
        if chosen:
            first = self.model.index(chosen[0], 0)
            selection.setCurrentIndex(first, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.table.scrollTo(first, Table.ScrollHint.PositionAtCenter)
            self.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def save_report(self) -> None:
        """Saves all of it, as `qtquant audit --json` prints it."""
        report = self.report
        if report is not None:
            exporter_of(self).save_json(self, f"audit of {report.other}", report.to_json)

    def save_tensors(self) -> None:
        """Saves the tensors as the table has them."""
        if self.report is not None:
            exporter_of(self).save_csv(self, f"audit of {self.report.other}", self.model.numbers())

    def copy_findings(self) -> None:
        """Puts verdict and findings on the clipboard, as text."""
        if self.report is not None:
            QGuiApplication.clipboard().setText(findings_text(self.report))
            self.copied.emit()

    def _share_room(self) -> None:
        """As much for the findings as they take, up to half of what there is."""
        room, wanted = self.splitter.height(), self.findings.heightForWidth(self.splitter.width() - 4 * GRID)
        top = min(max(wanted, self.findings.sizeHint().height()), room // 2)
        self.splitter.setSizes([top, room - top])

    def _fill(self) -> None:
        every = self.all_box.isChecked()
        tensors = self.report.tensors if self.report else ()
        self.model.set_rows(tensor for tensor in tensors if every or tensor.state != "kept")

    def _lay_out(self) -> None:
        menu = QMenu("Save the audit", self.save_button)
        menu.addAction("All of it, as &JSON…").triggered.connect(self.save_report)
        menu.addAction("The &tensors, as CSV…").triggered.connect(self.save_tensors)
        menu.addAction("&Copy the findings").triggered.connect(self.copy_findings)
        self.save_button.setMenu(menu)
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.all_box)
        line.addStretch(1)
        line.addWidget(self.save_button)
        below = QWidget()
        column = QVBoxLayout(below)
        column.setContentsMargins(0, GRID, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self.table, 1)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setObjectName("auditSplitter")
        self.splitter.setAccessibleName("Findings and tensors")
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(scrolled(self.findings))
        self.splitter.addWidget(below)
        self.splitter.setSizes([40 * GRID, 60 * GRID])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.verdict)
        layout.addWidget(self.totals)
        layout.addWidget(self.splitter, 1)
