"""The left rail: the steps, each reachable at any time, each saying its state."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QFont, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QVBoxLayout, QWidget

from qtquant_app.gui.steps import Step, StepState
from qtquant_app.gui.theme import GRID, Colors, colors, mixed
from qtquant_app.gui.widgets.icons import SIDE, picture
from qtquant_app.gui.widgets.marks import paint_mark
from qtquant_app.gui.widgets.text import plain_tip

WIDE = 44 * GRID
NARROW = 14 * GRID
HEIGHT = 14 * GRID


class StepButton(QAbstractButton):
    """One step: its drawing, its name, and below it the state."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        self._state = StepState("")
        self._by_keyboard = False
        """Whether the focus came by Tab: only then is its ring drawn."""
        self.setObjectName(f"{step.name.lower()}Step")
        self.setCheckable(True)
        self.setText(step.title)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFixedHeight(HEIGHT)
        self.setMouseTracking(True)
        self.set_state(self._state)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._by_keyboard = event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)

    @property
    def state(self) -> StepState:
        return self._state

    def set_state(self, state: StepState) -> None:
        self._state = state
        key = f"Ctrl+{self.step + 1}"
        self.setToolTip(plain_tip(f"{self.step.title} ({key}): {state.words}"))
        self.setAccessibleName(f"{self.step.title}: {state.words}")
        self.setAccessibleDescription(key)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(WIDE, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        tones = colors(self.palette())
        self._paint_ground(painter, tones)
        wide = self.width() > NARROW
        side = float(SIDE)
        left = 4.0 * GRID if wide else (self.width() - side) / 2
        color = tones.accent if self.isChecked() else tones.text
        scale = self.devicePixelRatioF()
        painter.drawPixmap(QPointF(left, (HEIGHT - side) / 2), picture(self.step.name.lower(), color, scale))
        mark = getattr(tones, self._state.tone)
        if wide:
            self._paint_words(painter, tones, mark)
        else:
            paint_mark(painter, QPointF(self.width() - 3.0 * GRID, 3.0 * GRID), self._state.tone, mark)
        painter.end()

    def _paint_ground(self, painter: QPainter, tones: Colors) -> None:
        box = QRectF(self.rect()).adjusted(GRID, GRID / 2, -GRID, -GRID / 2)
        painter.setPen(Qt.PenStyle.NoPen)
        if self.isChecked():
            painter.setBrush(mixed(self.palette().color(QPalette.ColorRole.Window), tones.accent, 0.16))
            painter.drawRoundedRect(box, GRID, GRID)
            painter.setBrush(tones.accent)
            painter.drawRoundedRect(QRectF(box.left(), box.top() + 2 * GRID, 3, box.height() - 4 * GRID), 1.5, 1.5)
        elif self.underMouse():
            painter.setBrush(mixed(self.palette().color(QPalette.ColorRole.Window), tones.text, 0.07))
            painter.drawRoundedRect(box, GRID, GRID)
        if self.hasFocus() and self._by_keyboard:
            painter.setPen(tones.accent)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), GRID, GRID)

    def _paint_words(self, painter: QPainter, tones: Colors, mark: QColor) -> None:
        left, width = 12 * GRID, self.width() - 15 * GRID
        title = QFont(self.font())
        title.setWeight(QFont.Weight.DemiBold)
        painter.setFont(title)
        painter.setPen(tones.text)
        upper = QRectF(left, 2 * GRID, width, 5 * GRID)
        painter.drawText(upper, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.step.title)
        small = QFont(self.font())
        small.setPointSizeF(max(7.0, small.pointSizeF() - 1))
        painter.setFont(small)
        painter.setPen(tones.muted)
        words = painter.fontMetrics().elidedText(self._state.words, Qt.TextElideMode.ElideMiddle, width - 3 * GRID)
        lower = QRectF(left + 3 * GRID, 7 * GRID, width - 3 * GRID, 4 * GRID)
        painter.drawText(lower, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, words)
        paint_mark(painter, QPointF(left + GRID, lower.center().y() + 0.5), self._state.tone, mark)


class Rail(QWidget):
    """The steps below each other. Arrow keys walk through them."""

    chosen = Signal(object)
    """Step."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("rail")
        self.setAccessibleName("Steps")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2 * GRID, 0, 2 * GRID)
        layout.setSpacing(0)
        self._group = QButtonGroup(self)
        self.buttons = {step: StepButton(step) for step in Step}
        for step, button in self.buttons.items():
            layout.addWidget(button)
            self._group.addButton(button, step)
        layout.addStretch(1)
        self._group.idClicked.connect(lambda at: self.chosen.emit(Step(at)))
        self.set_narrow(False)

    def set_current(self, step: Step) -> None:
        self.buttons[step].setChecked(True)

    def set_narrow(self, narrow: bool) -> None:
        """Drawings only, for windows with little room."""
        self.setFixedWidth(NARROW if narrow else WIDE)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(QRectF(self.width() - 1, 0, 1, self.height()), colors(self.palette()).line)
        painter.end()
