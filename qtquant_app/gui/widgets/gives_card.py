"""What a recipe gives: sizes, memory, time and warnings, before a weight is read."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout

from qtquant_app.core.coverage import LOW_COVERAGE, coverage_text, linear_coverage, low_coverage_of
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import NOTHING, bytes_text, duration_text, plural, share_text
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.coverage_panel import CoveragePanel
from qtquant_app.gui.widgets.facts import Facts
from qtquant_app.gui.widgets.text import Text

NAMES = (
    "Size before",
    "Size after",
    "Bits per weight",
    "Quantized",
    "Coverage",
    "Memory",
    "Disk",
    "To fetch",
    "Time, about",
    "Copied files",
)


class GivesCard(Card):
    """The figures of a plan."""

    def __init__(self) -> None:
        super().__init__("What it gives")
        self.setObjectName("givesCard")
        self.facts = Facts(NAMES, columns=2, elide=("Quantized", "Coverage", "Copied files", "Memory"))
        self.state = Text(muted=True)
        self.header.addWidget(self.state)
        self.coverage = CoveragePanel("planCoverage")
        self.add(self.coverage)
        self.add(self.facts)
        self._warnings = QVBoxLayout()
        self._warnings.setSpacing(GRID)
        self.add(self._warnings)
        self.set_plan(None)

    def set_plan(self, plan: Plan | None) -> None:
        """Shows the figures of `plan`, or none."""
        values = dict.fromkeys(NAMES, NOTHING) if plan is None else _values(plan)
        for name, value in values.items():
            self.facts.set(name, value)
        warnings = () if plan is None else plan.warnings
        self.coverage.show_text(low_coverage_of(warnings))
        self._show_warnings([warning.text for warning in warnings if warning.code != LOW_COVERAGE])

    def warnings(self) -> list[str]:
        """The warnings as they show."""
        items = (self._warnings.itemAt(i) for i in range(self._warnings.count()))
        found = [label.text() for item in items if item and isinstance(label := item.widget(), Text)]
        return [text for text in (self.coverage.text(), *found) if text]

    def _show_warnings(self, texts: list[str]) -> None:
        while self._warnings.count():
            item = self._warnings.takeAt(0)
            if item is not None and (widget := item.widget()) is not None:
                widget.setParent(None)
                widget.deleteLater()
        for text in texts:
            label = Text(f"\u26a0  {text[:1].upper()}{text[1:]}", wrap=True, warning=True)
            label.setAccessibleName(f"Warning: {text}")
            self._warnings.addWidget(label.set_selectable())


def _values(plan: Plan) -> dict[str, str]:
    before = plan.source_bytes
    smaller = f"{before / plan.output_bytes:.2f}\u00d7 smaller" if plan.output_bytes else ""
    memory = bytes_text(plan.peak_ram_bytes)
    if plan.peak_device_bytes:
        memory += f", and {bytes_text(plan.peak_device_bytes)} on {plan.device}"
    quantized, covered = plan.quantized, plan.quantized_source_bytes
    return {
        "Size before": bytes_text(before),
        "Size after": f"{bytes_text(plan.output_bytes)}, {smaller}",
        "Bits per weight": f"{plan.bits_per_weight:.2f}" if plan.bits_per_weight else NOTHING,
        "Quantized": f"{len(quantized):,} of {plural(len(plan.tensors), 'tensor')}, {share_text(covered, before)}",
        "Coverage": coverage_text(linear_coverage(plan.tensors)),
        "Memory": memory,
        "Disk": bytes_text(plan.disk_bytes),
        "To fetch": bytes_text(plan.download_bytes) if plan.download_bytes else "nothing",
        "Time, about": duration_text(plan.seconds_estimate),
        "Copied files": f"{len(plan.copied):,}, {bytes_text(plan.copied_bytes)}" if plan.copied else "none",
    }
