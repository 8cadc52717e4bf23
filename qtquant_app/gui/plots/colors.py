"""Colours of the plots: the colour maps, and pens that follow the palette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QPalette

from qtquant_app.gui.theme import mixed
from qtquant_app.ramps import magnitude_table, signed_table


@dataclass(frozen=True)
class Theme:
    """What a plot needs to look like the rest of the window, in its light and its dark form."""

    dark: bool
    surround: QColor
    """Around the axes: the window goes on there."""
    background: QColor
    text: QColor
    faint: QColor
    """Axes and frames."""
    bars: QColor
    accent: QColor
    """The quantization levels, the cursor: whatever the eye should go to."""

    @classmethod
    def of(cls, palette: QPalette) -> Theme:
        """The plot colours that go with `palette`."""
        background, text = palette.color(QPalette.ColorRole.Base), palette.color(QPalette.ColorRole.Text)
        dark = background.lightnessF() < 0.5
        return cls(
            dark=dark,
            surround=palette.color(QPalette.ColorRole.Window),
            background=background,
            text=text,
            faint=mixed(background, text, 0.35),
            bars=mixed(background, text, 0.5),
            accent=palette.color(QPalette.ColorRole.Accent),
        )

    @property
    def magnitudes(self) -> NDArray[np.uint8]:
        return magnitude_table(self.dark)

    def table(self, signed: bool) -> NDArray[np.uint8]:
        """The colour map as RGB bytes [256, 3]."""
        return signed_table(self.dark) if signed else magnitude_table(self.dark)


def faded(color: QColor, alpha: float) -> QColor:
    """`color` at `alpha` of its opacity."""
    result = QColor(color)
    result.setAlphaF(alpha)
    return result
