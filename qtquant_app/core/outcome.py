"""What a run came to beside what its plan had said, as lines for people."""

from __future__ import annotations

from dataclasses import dataclass

from qtquant_app.core.quantities import bytes_text, duration_text, more_text
from qtquant_app.core.report import RunReport


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that was predicted and measured."""

    what: str
    predicted: float
    measured: float
    seconds: bool = False

    @property
    def predicted_text(self) -> str:
        return self._text(self.predicted)

    @property
    def measured_text(self) -> str:
        return self._text(self.measured)

    @property
    def difference_text(self) -> str:
        """How the measured differs from the predicted: `exact`, or `+12 MB, +7 %`."""
        more = self.measured - self.predicted
        if not more:
            return "exact"
        sign = "+" if more > 0 else "\u2212"
        words = f"{sign}{duration_text(abs(more))}" if self.seconds else more_text(round(more))
        return f"{words}, {sign}{abs(more) / self.predicted:.0%}".replace("%", " %") if self.predicted else words

    def _text(self, value: float) -> str:
        return duration_text(value) if self.seconds else bytes_text(round(value))


def outcomes(report: RunReport) -> tuple[Outcome, ...]:
    """The lines of a report; none where nothing was predicted. A device's memory is left out where none was used."""
    said = report.predicted
    if said is None:
        return ()
    lines = [
        Outcome("Weights, index and config", said.output_bytes, report.output_bytes),
        Outcome("Disk", said.disk_bytes, report.disk_bytes),
        Outcome("Peak memory", said.peak_ram_bytes, report.peak_ram_bytes),
    ]
    if report.peak_device_bytes:
        lines.append(Outcome("Peak memory of the device", said.peak_device_bytes, report.peak_device_bytes))
    return (*lines, Outcome("Time", said.seconds, report.seconds, seconds=True))
