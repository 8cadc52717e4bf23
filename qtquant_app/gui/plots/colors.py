"""Colours of the plots: one perceptually even map for magnitudes, and pens that follow the palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QPalette

from qtquant_app.gui.theme import mixed

Floats = NDArray[np.float64]

SHADES = 256

# Magnitude ramps as (lightness, chroma, hue in degrees) of Oklch: lightness alone orders them, so that they read the same
# to colour-blind eyes and in print; the hue runs through violet to yellow, never red against green. The low end lies
# near the background it is seen on.
_DARK = ((0.20, 0.03, 280.0), (0.38, 0.12, 292.0), (0.56, 0.15, 345.0), (0.76, 0.13, 48.0), (0.96, 0.08, 98.0))
_LIGHT = ((0.97, 0.02, 95.0), (0.82, 0.11, 72.0), (0.62, 0.16, 22.0), (0.42, 0.14, 325.0), (0.20, 0.09, 285.0))


def oklab_to_rgb(lab: Floats) -> Floats:
    """Oklab [n, 3] to sRGB [n, 3] in 0..1, not clipped. Matrices: Björn Ottosson, "A perceptual color space", 2020."""
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = (lab @ to_lms.T) ** 3 @ to_linear.T
    bright = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    encoded: Floats = np.where(linear > 0.0031308, bright, 12.92 * linear)
    return encoded


def even_ramp(anchors: Sequence[tuple[float, float, float]], shades: int = SHADES) -> Floats:
    """Oklab [shades, 3] along the anchors (lightness, chroma, hue in degrees), in steps of equal perceived difference."""
    lightness, chroma, hue = np.array(anchors).T
    angle = np.unwrap(np.radians(hue))
    at, fine = np.linspace(0, 1, len(lightness)), np.linspace(0, 1, 4096)
    c, h = np.interp(fine, at, chroma), np.interp(fine, at, angle)
    path = np.stack([np.interp(fine, at, lightness), c * np.cos(h), c * np.sin(h)], axis=1)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0, length[-1], shades)
    return np.stack([np.interp(wanted, length, path[:, k]) for k in range(3)], axis=1)


@lru_cache(maxsize=2)
def magnitude_table(dark: bool) -> NDArray[np.uint8]:
    """The map for magnitudes as RGB bytes [256, 3], from zero to the largest."""
    rgb = oklab_to_rgb(even_ramp(_DARK if dark else _LIGHT))
    table: NDArray[np.uint8] = np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)
    return table


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
            bars=mixed(background, text, 0.45),
            accent=palette.color(QPalette.ColorRole.Accent),
        )

    @property
    def magnitudes(self) -> NDArray[np.uint8]:
        return magnitude_table(self.dark)


def faded(color: QColor, alpha: float) -> QColor:
    """`color` at `alpha` of its opacity."""
    result = QColor(color)
    result.setAlphaF(alpha)
    return result
