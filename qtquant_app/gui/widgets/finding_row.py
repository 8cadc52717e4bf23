"""One thing that a reader has against a plan, and the button that mends it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.runtimes import Finding, Severity
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Elided, Text, mnemonic_safe, plain_tip, sentence_case

_SHOWN = 20

_WORDS = {
    Severity.REFUSES: ("\u2715", "Refused by", "bad"),
    Severity.WRONG: ("\u2715", "Computed wrongly by", "bad"),
    Severity.NEEDS: ("\u25b2", "Loaded with an option by", "warn"),
    Severity.NOTE: ("\u25cb", "Worth knowing for", "muted"),
}


class FindingRow(QWidget):
    """Who says it, the sentence, the tensors, and the mend where there is one."""

    mend_wanted = Signal(object)
    """Finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding
        mark, words, tone = _WORDS[finding.severity]
        reader = f"{finding.reader} ({finding.version})" if finding.version else finding.reader
        who = Text(f"{mark}  {words} {reader}", bold=True, wrap=True)
        who.set_tone(tone)
        self.text = Text(_sentence(finding.text), wrap=True).set_selectable()
        self.text.setAccessibleName(f"{words} {reader}, {finding.code}: {finding.text}")
        head = QHBoxLayout()
        head.setSpacing(2 * GRID)
        head.addWidget(who, 1)
        self.mend_button = self._button()
        if self.mend_button is not None:
            head.addWidget(self.mend_button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, GRID)
        layout.setSpacing(GRID // 2)
        layout.addLayout(head)
        layout.addWidget(self.text)
        if finding.tensors:
            layout.addWidget(_names(finding.tensors))

    def _button(self) -> Button | None:
        finding = self.finding
        if finding.mend is None:
            return None
        button = Button(f"Mend: {mnemonic_safe(finding.does)}", name=f"mend-{finding.runtime}-{finding.code}")
        button.setAccessibleName(f"Mend {finding.code} for {finding.reader}: {finding.does}")
        button.setToolTip(plain_tip("Changes the recipe; it can be undone."))
        button.clicked.connect(lambda: self.mend_wanted.emit(finding))
        return button


def _sentence(text: str) -> str:
    return text if text.startswith("vLLM") else sentence_case(text)


def _names(tensors: tuple[str, ...]) -> Elided:
    more = f", and {len(tensors) - 1:,} more" if len(tensors) > 1 else ""
    label = Elided(f"{tensors[0]}{more}", muted=True)
    rest = ["…"] if len(tensors) > _SHOWN else []
    label.setAccessibleDescription(", ".join((*tensors[:_SHOWN], *rest)))
    return label
