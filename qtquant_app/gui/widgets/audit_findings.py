"""What an audit has against a checkpoint, the gravest first: each in words, with a sign and the tensors it is about."""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.audit import Finding
from qtquant_app.core.quantities import plural
from qtquant_app.gui.models.audit_table import SEVERITIES
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text, sentence_case

MOST = 60
"""Rows that are made: a file with thousands of faults has said enough by then."""


class AuditFindingRow(QWidget):
    """How grave it is, the sentence, and a button that finds its tensors in the table."""

    tensors_wanted = Signal(object)
    """tuple[str, ...]"""

    def __init__(self, finding: Finding, at: int, listed: int) -> None:
        """`listed` is how many of its tensors the table can show."""
        super().__init__()
        self.finding = finding
        mark, words, tone = SEVERITIES[finding.severity]
        who = Text(f"{mark}  {words}", bold=True)
        who.set_tone(tone)
        self.text = Text(sentence_case(finding.text), wrap=True).set_selectable()
        self.text.setAccessibleName(f"{words}, {finding.code}: {finding.text}")
        head = QHBoxLayout()
        head.setSpacing(2 * GRID)
        head.addWidget(who)
        head.addStretch(1)
        if listed:
            show = Button(f"Show {plural(listed, 'tensor')}", name=f"auditShow-{at}")
            show.setAccessibleName(f"Show the tensors of finding {at + 1}, {finding.code}, in the table")
            show.clicked.connect(lambda: self.tensors_wanted.emit(finding.tensors))
            head.addWidget(show)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 2 * GRID, GRID)
        layout.setSpacing(GRID // 2)
        layout.addLayout(head)
        layout.addWidget(self.text)


class AuditFindings(QWidget):
    """The rows, made anew for each report."""

    tensors_wanted = Signal(object)
    """tuple[str, ...]: those of one finding."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("auditFindings")
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(2 * GRID)

    def set_findings(self, findings: tuple[Finding, ...], listed: Collection[str]) -> None:
        """Shows the first of `findings`, and how many more there are; `listed` are the tensors that the table can show."""
        known = frozenset(listed)
        while (item := self._rows.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for at, finding in enumerate(findings[:MOST]):
            row = AuditFindingRow(finding, at, len(known.intersection(finding.tensors)))
            row.tensors_wanted.connect(self.tensors_wanted)
            self._rows.addWidget(row)
        if len(findings) > MOST:
            self._rows.addWidget(
                Text(f"{plural(len(findings) - MOST, 'more finding')}: save the report to read them.", muted=True)
            )
        if not findings:
            self._rows.addWidget(Text("Nothing to tell: codes, scales and config agree, and fit the base.", muted=True))
        self._rows.addStretch(1)

    def rows(self) -> list[AuditFindingRow]:
        """The findings as they show."""
        items = (self._rows.itemAt(i) for i in range(self._rows.count()))
        return [row for item in items if item and isinstance(row := item.widget(), AuditFindingRow)]
