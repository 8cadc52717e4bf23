"""How much memory a run may take: two numbers in GB, each of them none at first."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QWidget

from qtquant_app.core.limits import Limits
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.text import Text

_GB = 1e9


class MemoryLimits(QWidget):
    """The ceilings on main memory and on the device's; the latter only where a device may be used."""

    limits_changed = Signal(object)
    """Limits."""

    def __init__(self) -> None:
        super().__init__()
        self.memory_spin = _spin("memoryLimitSpin", "Memory a run may take, in GB")
        self.device_spin = _spin("deviceMemoryLimitSpin", "Memory of the device that a run may take, in GB")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2 * GRID)
        self._device_label = Text("of the device")
        row.addWidget(self.memory_spin, 1)
        row.addWidget(self._device_label)
        row.addWidget(self.device_spin, 1)
        for spin in (self.memory_spin, self.device_spin):
            spin.valueChanged.connect(self._on_changed)

    @property
    def limits(self) -> Limits:
        """The ceilings as they stand, in whole bytes."""
        return Limits(_bytes(self.memory_spin), _bytes(self.device_spin) if self.device_spin.isEnabled() else None)

    def set_limits(self, limits: Limits) -> None:
        """Shows `limits` without a signal."""
        for spin, value in ((self.memory_spin, limits.memory), (self.device_spin, limits.device_memory)):
            with QSignalBlocker(spin):
                spin.setValue((value or 0) / _GB)

    def set_device(self, device: str) -> None:
        """Where the device is the processor itself, it has no memory of its own."""
        own = device != "cpu"
        if own != self.device_spin.isEnabled():
            self.device_spin.setEnabled(own)
            self._device_label.setEnabled(own)
            if self.device_spin.value():
                self._on_changed()

    def _on_changed(self) -> None:
        self.limits_changed.emit(self.limits)


def _spin(name: str, words: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setObjectName(name)
    spin.setAccessibleName(words)
    spin.setToolTip(f"{words}; 0 for no limit")
    spin.setRange(0, 10_000)
    spin.setDecimals(2)
    spin.setSingleStep(0.5)
    spin.setSuffix(" GB")
    spin.setSpecialValueText("no limit")
    spin.setKeyboardTracking(False)
    return spin


def _bytes(spin: QDoubleSpinBox) -> int | None:
    return round(spin.value() * _GB) or None
