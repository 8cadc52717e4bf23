"""What can be done with a checkpoint that is quantized already: said beside it, with a button for each."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text

_ABOUT = (
    "This checkpoint is quantized already. It can be looked at, decoded to floats and quantized anew; errors then add up. "
    "Beside the float model that it was made from, an audit tells what quantizing did to it."
)


class PackedNote(QWidget):
    """Hidden unless what is open is quantized."""

    audit_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("packedNote")
        self.audit_button = Button("Audit &against its base…", "check", name="toAuditButton")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2 * GRID)
        line.addWidget(Text(_ABOUT, wrap=True), 1)
        line.addWidget(self.audit_button)
        self.audit_button.clicked.connect(self.audit_wanted)
        self.setVisible(False)
