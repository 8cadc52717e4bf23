"""The readers that a mix must load in."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QSizePolicy, QWidget

from qtquant_app.core.runtimes import RUNTIMES
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.flow import Flow


class ReadersChoice(QWidget):
    """A box for each reader; those that read another format cannot be ticked, and have no say."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("budgetReadersChoice")
        self.boxes = {runtime.name: QCheckBox(runtime.title) for runtime in RUNTIMES}
        flow = Flow(self)
        flow.setSpacing(2 * GRID)
        for runtime in RUNTIMES:
            box = self.boxes[runtime.name]
            box.setObjectName(f"budget-runtime-{runtime.name}")
            box.setAccessibleName(f"The mix must load in {runtime.title}")
            box.toggled.connect(self.changed)
            flow.addWidget(box)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    @property
    def ticked(self) -> tuple[str, ...]:
        """What is ticked, whether it reads the format or not."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked())

    @property
    def chosen(self) -> tuple[str, ...]:
        """What is ticked and has a say."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked() and box.isEnabled())

    def tick(self, names: Sequence[str]) -> None:
        """Ticks these and no others."""
        for name, box in self.boxes.items():
            box.setChecked(name in names)

    def set_format(self, format: str) -> None:
        """The format that the result will be in."""
        before = self.chosen
        for runtime in RUNTIMES:
            reads = format in runtime.formats
            box = self.boxes[runtime.name]
            box.setEnabled(reads)
            tip = f"Leaves out what {runtime.title} {runtime.version} would refuse or decode wrongly"
            box.setToolTip(tip if reads else f"{runtime.title} does not read the {format} format")
        if self.chosen != before:
            self.changed.emit()
