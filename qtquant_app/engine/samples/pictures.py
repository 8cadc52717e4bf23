"""Pictures in files that anyone may have made: bounded in bytes and pixels, and of the kinds that pictures usually are."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings

from qtquant_app.core.foreign_files import read_bounded

if TYPE_CHECKING:
    from PIL.Image import Image

ENDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")
MOST_BYTES = 64 << 20
MOST_PIXELS = 1 << 26


class UnfitError(Exception):
    """Why a file is no sample, in a few words that hold for many files."""


def read_picture(file: Path) -> tuple[bytes, Image]:
    """The bytes of a file and the picture in them, in RGB. Raises UnfitError."""
    from PIL import Image

    try:
        data = read_bounded(file, MOST_BYTES)
    except OSError:
        raise UnfitError("files that cannot be read, or are too long") from None
    try:
        with catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=_FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise UnfitError("pictures of more than 67 million pixels")
            return data, opened.convert("RGB")
    except UnfitError:
        raise
    except Exception:  # its decoders raise whatever they like for broken files
        raise UnfitError("pictures that cannot be decoded") from None
