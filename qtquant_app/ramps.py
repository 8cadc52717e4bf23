"""Perceptually even colour maps for magnitudes and for both sides of zero: the window, pictures and pages draw with the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHADES = 256

# Magnitude ramps as (lightness, chroma, hue in degrees) of Oklch: lightness alone orders them, so that they read the same
# to colour-blind eyes and in print; the hue runs through violet to yellow, never red against green. The low end lies
# near the background it is seen on.
_DARK = ((0.20, 0.03, 280.0), (0.38, 0.12, 292.0), (0.56, 0.15, 345.0), (0.76, 0.13, 48.0), (0.96, 0.08, 98.0))
_LIGHT = ((0.97, 0.02, 95.0), (0.82, 0.11, 72.0), (0.62, 0.16, 22.0), (0.42, 0.14, 325.0), (0.20, 0.09, 285.0))

# Both sides of zero, from the middle outwards: the same lightness and chroma at the same distance, so that neither side
# looks larger; blue below and orange above, which all eyes tell apart. The middle lies near the background.
_DARK_SIDE = ((0.22, 0.005), (0.42, 0.075), (0.62, 0.115), (0.86, 0.075))
_LIGHT_SIDE = ((0.97, 0.005), (0.80, 0.075), (0.60, 0.110), (0.36, 0.085))
_BELOW, _ABOVE = 252.0, 62.0


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


@lru_cache(maxsize=2)
def signed_table(dark: bool) -> NDArray[np.uint8]:
    """The map for signed values as RGB bytes [256, 3], from the most negative over zero to the most positive."""
    side = _DARK_SIDE if dark else _LIGHT_SIDE
    below, above = (
        even_ramp([(lightness, chroma, hue) for lightness, chroma in side], SHADES // 2) for hue in (_BELOW, _ABOVE)
    )
    rgb = oklab_to_rgb(np.concatenate([below[::-1], above]))
    table: NDArray[np.uint8] = np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)
    return table
