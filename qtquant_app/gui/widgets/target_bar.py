"""What the mix may take: a way to ask, a slider and a field for it."""

from __future__ import annotations

from contextlib import suppress

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QSpinBox, QVBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.target import Memory, Target
from qtquant_app.gui.budget_gauge import LIKE, MEMORY, SIZE, TITLES, Gauge, gauge
from qtquant_app.gui.models.budget_reach import Reach
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.text import Elided, Text

STEPS = 1000
PAGE = 50
FIRST = 0.4
"""Where the slider stands at first, of its way."""
MOST_CONTEXT = 1 << 24
MOST_SEQUENCES = 4096
_KEY = "budget/"
READ_OUT = "Drag in the plot, or point at a scheme to read it out."


class TargetBar(QWidget):
    """Emits `aimed` for each target that is chosen, with about the output bytes that it comes to."""

    aimed = Signal(object, object)
    """Target, float."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._reach: Reach | None = None
        self._gauge: Gauge | None = None
        self._said: float | None = None
        """The value asked for last, on the gauge in force."""
        self.kind = ChoiceBox()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.field = QDoubleSpinBox()
        self.like = ChoiceBox()
        self.context = QSpinBox()
        self.sequences = QSpinBox()
        self.kv_bits = ChoiceBox()
        self.read_out = Elided(READ_OUT, mode=Qt.TextElideMode.ElideRight, muted=True)
        self._besides = QWidget()
        self._set_up()
        self._lay_out()
        self._connect()
        self.set_reach(None)

    @property
    def value(self) -> float:
        """What is asked for, in the unit of the field; for a scheme its place among them."""
        return float(self.like.currentIndex()) if self.asks == LIKE else self.field.value()

    @property
    def room(self) -> Memory:
        """What a card has to hold besides the weights."""
        return Memory(1, self.context.value(), self.sequences.value(), int(self.kv_bits.currentData()))

    @property
    def asks(self) -> str:
        """The way of asking that is chosen."""
        return str(self.kind.currentData())

    def set_reach(self, reach: Reach | None) -> None:
        """Takes the scales of what was measured, and asks for what was asked for last, where that can be had."""
        self._reach = reach
        self.setEnabled(reach is not None)
        with QSignalBlocker(self.like):
            self.like.clear()
            for scheme, _ in reach.likes if reach else ():
                self.like.addItem(f"{scheme.label} for all")
        self._offer_like(bool(reach and reach.likes))
        if reach is not None:
            self._take_kind(self._kept())
            self._say()

    def point_at(self, words: str) -> None:
        """Reads out what is pointed at in the plot; nothing where `words` are empty."""
        self.read_out.setText(words or READ_OUT)

    def take_bytes(self, size: float) -> None:
        """Asks for about `size` output bytes, in the way chosen; by the file's size where that cannot say it."""
        if self._reach is None or self._gauge is None:
            return
        if self.asks == LIKE:
            with QSignalBlocker(self.kind):
                self.kind.setCurrentIndex(self.kind.findData(SIZE))
            self._take_gauge(None)
        value = self._gauge.value_of(size, self._reach, self.room)
        if value != self._said:
            self._show(value)
            self._say()

    def step(self, by: int) -> None:
        """Moves the slider by so many steps."""
        self.slider.setValue(self.slider.value() + by * self.slider.singleStep())

    def keep(self) -> None:
        """Remembers the way of asking, and what is asked for."""
        self._settings.set(_KEY + "unit", self.asks)
        words = self.like.currentText() if self.asks == LIKE else repr(self.value * (self._gauge or _NONE).factor)
        self._settings.set(_KEY + "value", words)
        self._settings.set(_KEY + "context", self.context.value())
        self._settings.set(_KEY + "sequences", self.sequences.value())
        self._settings.set(_KEY + "kv_bits", int(self.kv_bits.currentData()))

    def _set_up(self) -> None:
        for name, title in TITLES.items():
            self.kind.addItem(title, name)
        for widget, name, spoken in (
            (self.kind, "budgetUnitCombo", "What the mix is asked for by"),
            (self.slider, "budgetSlider", "What the mix may take"),
            (self.field, "budgetField", "What the mix may take, as a number"),
            (self.like, "budgetLikeCombo", "The scheme that the mix has to be as good as"),
            (self.context, "budgetContextSpin", "Tokens of context that the card holds too"),
            (self.sequences, "budgetSequencesSpin", "Sequences of that context that the card holds at once"),
            (self.kv_bits, "budgetKvBitsCombo", "Bits of each of the keys and values that the card holds"),
        ):
            widget.setObjectName(name)
            widget.setAccessibleName(spoken)
        self.kind.setSizeAdjustPolicy(ChoiceBox.SizeAdjustPolicy.AdjustToContents)
        self.like.setSizeAdjustPolicy(ChoiceBox.SizeAdjustPolicy.AdjustToContents)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(PAGE)
        self.slider.setMinimumWidth(30 * GRID)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.field.setKeyboardTracking(False)
        self.field.setMinimumWidth(30 * GRID)
        self.field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.context.setRange(1, MOST_CONTEXT)
        self.context.setSingleStep(1024)
        self.context.setGroupSeparatorShown(True)
        self.context.setSuffix(" tokens")
        self.context.setKeyboardTracking(False)
        self.context.setValue(self._settings.number(_KEY + "context", 8192))
        self.sequences.setRange(1, MOST_SEQUENCES)
        self.sequences.setSuffix(" at once")
        self.sequences.setKeyboardTracking(False)
        self.sequences.setValue(self._settings.number(_KEY + "sequences", 1))
        for bits in (16, 8, 4):
            self.kv_bits.addItem(f"{bits} bits", bits)
        self.kv_bits.setCurrentIndex(max(0, self.kv_bits.findData(self._settings.number(_KEY + "kv_bits", 16))))
        for widget in (self.slider, self.field, self.context, self.sequences):
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The wheel scrolls the page, and changes what is asked for only where the keyboard is."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        for widget in (self.kind, self.field, self.like):
            line.addWidget(widget)
        line.addWidget(self.read_out, 1)
        besides = Flow(self._besides)
        besides.setSpacing(2 * GRID)
        for part in (Text("with contexts of"), self.context, self.sequences, Text("keys and values of"), self.kv_bits):
            besides.addWidget(part)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addWidget(self.slider)
        column.addLayout(line)
        column.addWidget(self._besides)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.slider.valueChanged.connect(self._on_slider)
        self.field.valueChanged.connect(self._on_field)
        self.like.currentIndexChanged.connect(self._on_field)
        for changed in (self.context.valueChanged, self.sequences.valueChanged, self.kv_bits.currentIndexChanged):
            changed.connect(self._on_context)

    def _kept(self) -> float | None:
        """Sets the way of asking remembered, and returns the value remembered for it, in the unit of its field."""
        place = self.kind.findData(self._settings.text(_KEY + "unit", SIZE))
        with QSignalBlocker(self.kind):
            self.kind.setCurrentIndex(max(0, place))
        if self.asks == LIKE and not self.like.count():
            with QSignalBlocker(self.kind):
                self.kind.setCurrentIndex(0)
            return None
        words = self._settings.text(_KEY + "value")
        if self.asks == LIKE:
            found = self.like.findText(words)
            return float(found) if found >= 0 else None
        with suppress(ValueError):
            return float(words)
        return None

    def _take_kind(self, kept: float | None) -> None:
        """Shows the scale of the way chosen; `kept` is in whole units of what is asked for, such as bytes."""
        self._take_gauge(None)
        scale = self._gauge
        if kept is not None and scale is not None and scale.low <= kept / scale.factor <= scale.high:
            self._show(kept / scale.factor)

    def _take_gauge(self, value: float | None) -> None:
        if self._reach is None:
            return
        self._said = None
        self._gauge = scale = gauge(self.asks, self._reach, self.room)
        self.field.setVisible(scale.kind != LIKE)
        self.like.setVisible(scale.kind == LIKE)
        self._besides.setVisible(scale.kind == MEMORY)
        count = max(1, self.like.count() - 1) if scale.kind == LIKE else STEPS
        with QSignalBlocker(self.slider), QSignalBlocker(self.field):
            self.slider.setRange(0, count)
            self.slider.setPageStep(max(1, count // 20))
            self.field.setDecimals(scale.decimals)
            self.field.setSuffix(f" {scale.unit}" if scale.unit else "")
            self.field.setRange(10.0**-scale.decimals, max(scale.high * 100, 10.0))
            self.field.setSingleStep(max((scale.high - scale.low) / 100, 10.0**-scale.decimals))
        self._show(scale.value(FIRST) if value is None else value)

    def _show(self, value: float) -> None:
        """Puts slider and field to `value`, saying nothing."""
        if self._gauge is None:
            return
        with QSignalBlocker(self.slider), QSignalBlocker(self.field), QSignalBlocker(self.like):
            if self._gauge.kind == LIKE:
                self.like.setCurrentIndex(round(value))
            else:
                self.field.setValue(value)
            self.slider.setValue(round(self._gauge.share(value) * self.slider.maximum()))

    def _on_kind(self) -> None:
        """The same size, asked for in another way, where it can be."""
        before = self._gauge
        size = before.bytes(self._before, self._reach, self.room) if before and self._reach else None
        self._take_gauge(None)
        if size is not None and self._gauge is not None and self._reach is not None:
            self._show(self._gauge.value_of(size, self._reach, self.room))
        self._say()

    def _on_slider(self, at: int) -> None:
        if self._gauge is not None:
            value = self._gauge.value(at / max(1, self.slider.maximum()))
            with QSignalBlocker(self.field), QSignalBlocker(self.like):
                if self._gauge.kind == LIKE:
                    self.like.setCurrentIndex(round(value))
                else:
                    self.field.setValue(value)
            self._say()

    def _on_field(self) -> None:
        if self._gauge is not None:
            self._show(self.value)
            self._say()

    def _on_context(self) -> None:
        self._take_gauge(self.field.value())  # the same card, which holds less or more besides
        self._say()

    @property
    def _before(self) -> float:
        """The value as it was under the gauge still in force, whichever way is chosen by now."""
        if self._gauge is not None and self._gauge.kind == LIKE:
            return float(max(0, self.like.currentIndex()))
        return self.field.value()

    def _offer_like(self, there: bool) -> None:
        """A mix can be as good as a scheme where there is one that all can take."""
        model = self.kind.model()
        place = model.index(self.kind.findData(LIKE), 0)
        model.setData(place, None if there else 0, Qt.ItemDataRole.UserRole - 1)

    def _say(self) -> None:
        scale, reach = self._gauge, self._reach
        if scale is None or reach is None:
            return
        value = self._said = self.value
        with suppress(QtQuantError):
            target: Target = scale.target(value, reach, self.room)
            self.slider.setAccessibleDescription(target.text)
            self.aimed.emit(target, scale.bytes(value, reach, self.room))


_NONE = Gauge(SIZE, 0, 0, 0)
