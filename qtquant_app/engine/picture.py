"""Pictures of what a preview shows, for files; in the colours of the window's light form."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.errors import WriteError
from qtquant_app.engine.preview import Preview
from qtquant_app.ramps import magnitude_table, signed_table

_SMALLEST = 256


def save_error_map(preview: Preview, file: Path) -> None:
    """Writes the preview's picture as a PNG: a row per channel cell, a column per cell of input columns.

    Raises WriteError where the file cannot be written.
    """
    from PIL import Image

    colours, index = _indexed(preview.picture.extreme, preview.picture.window.view.signed)
    image = Image.fromarray(colours[index])
    times = max(1, -(-_SMALLEST // max(1, min(index.shape))))
    try:
        image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST).save(file, "PNG")
    except OSError as error:
        raise WriteError(
            f"{file} cannot be written: {error.strerror}", hint="choose another place", code="write"
        ) from None


def error_map_png(preview: Preview, most: int = 256) -> bytes:
    """A preview's |error| as the bytes of a small PNG: at most about `most` cells a side, each the largest of those in it."""
    return magnitudes_png(preview.picture.extreme, most)


def magnitudes_png(values: NDArray[np.float32], most: int = 256) -> bytes:
    """A table of magnitudes as the bytes of a small PNG: at most about `most` cells a side, each the largest of those in it."""
    from PIL import Image

    for axis in (0, 1):
        step = -(-values.shape[axis] // most)
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], step), axis=axis)
    colours, index = _indexed(values, signed=False)
    image = Image.fromarray(index, "P")
    image.putpalette(colours.tobytes())
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _indexed(values: NDArray[np.float32], signed: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(256 colours, the index of each value among them): from zero to the largest, or as far on both sides of zero."""
    top = float(np.abs(values).max(initial=0.0)) or 1.0
    part = (values / top + 1) / 2 if signed else values / top
    index: NDArray[np.uint8] = np.rint(part * 255).astype(np.uint8)
    return (signed_table if signed else magnitude_table)(False), index
