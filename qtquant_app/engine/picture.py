"""Pictures of error maps, for files; the window draws its own."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.errors import WriteError
from qtquant_app.engine.preview import Preview

_DARK, _LIGHT = (0.20, 0.01, -0.11), (0.97, -0.03, 0.13)
"""Both ends of the colour map in Oklab (lightness, green-red, blue-yellow): lightness rises evenly, blue turns to yellow."""

_SMALLEST = 256


def save_error_map(preview: Preview, file: Path) -> None:
    """Writes the map of the largest |error| per cell as a PNG: a row per channel cell, a column per cell of input columns."""
    from PIL import Image

    values = preview.error_map
    top = float(values.max(initial=0.0))
    index = np.rint(values * (255 / top if top > 0 else 0)).astype(np.uint8)
    image = Image.fromarray(colour_map()[index])
    times = max(1, -(-_SMALLEST // max(1, min(values.shape))))
    try:
        image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST).save(file, "PNG")
    except OSError as error:
        raise WriteError(
            f"{file} cannot be written: {error.strerror}", hint="choose another place", code="write"
        ) from None


def error_map_png(preview: Preview, most: int = 256) -> bytes:
    """The map as the bytes of a small PNG: at most about `most` cells a side, each the largest |error| of those in it."""
    from PIL import Image

    values = preview.error_map
    for axis in (0, 1):
        step = -(-values.shape[axis] // most)
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], step), axis=axis)
    top = float(values.max(initial=0.0))
    image = Image.fromarray(np.rint(values * (255 / top if top > 0 else 0)).astype(np.uint8), "P")
    image.putpalette(colour_map().tobytes())
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


@cache
def colour_map() -> NDArray[np.uint8]:
    """256 colours of even lightness steps, dark blue to light yellow; [256, 3] sRGB.

    Interpolated in Oklab and converted as its author gives it (B. Ottosson, "A perceptual color space for image processing", 2020).
    """
    lab = np.linspace(_DARK, _LIGHT, 256)
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((lab @ to_lms.T) ** 3 @ to_rgb.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours: NDArray[np.uint8] = np.rint(255 * encoded).astype(np.uint8)
    return colours
