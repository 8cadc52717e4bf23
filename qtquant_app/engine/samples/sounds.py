"""Sounds in WAV files that anyone may have made: whole numbers of 8 to 32 bits a sample, any rate, any channels."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.foreign_files import open_bounded
from qtquant_app.engine.samples.pictures import UnfitError

ENDS = (".wav", ".wave")
MOST_BYTES = 4 << 30
"""Of a file; of its sound no more is read than is used, and no more than this:"""
_MOST_READ = 32 << 20
_LEAST_SECONDS = 0.1
_RATES = range(1000, 400_000)

Sound = NDArray[np.float32]


def read_sound(file: Path, rate: int, seconds: float) -> tuple[bytes, Sound]:
    """The bytes that were read of a file, and the first `seconds` of its sound at `rate`: float32 [samples], the mean of its
    channels, within -1 and 1. Raises UnfitError."""
    try:
        with open_bounded(file, MOST_BYTES) as stream, wave.open(stream, "rb") as opened:
            own, width, channels = opened.getframerate(), opened.getsampwidth(), opened.getnchannels()
            most = min(int(seconds * own) + 1, _MOST_READ // max(1, width * channels))
            frames = opened.readframes(min(opened.getnframes(), most))
    except OSError:
        raise UnfitError("files that cannot be read, or are too long") from None
    except Exception:  # the reader has errors of many kinds for broken files
        raise UnfitError("sounds that are no PCM in a WAV file") from None
    if own not in _RATES or width not in (1, 2, 3, 4) or not 1 <= channels <= 64:
        raise UnfitError("sounds of an unusual rate or width")
    values = _numbers(frames, width)
    values = values[: len(values) // channels * channels].reshape(-1, channels).mean(axis=1)
    if len(values) < _LEAST_SECONDS * own:
        raise UnfitError("sounds shorter than a tenth of a second")
    return frames, resampled(values, own, rate)


def resampled(values: NDArray[np.float64], own: int, rate: int) -> Sound:
    """`values` [n] at `own` samples a second as they are at `rate`: frequencies above half of either are left out.

    By way of the whole spectrum, which takes the sound to be periodic: its first and last milliseconds may ring.
    """
    if own == rate:
        return values.astype(np.float32)
    count = max(1, round(len(values) * rate / own))
    spectrum = np.fft.rfft(values)[: count // 2 + 1]
    return (np.fft.irfft(spectrum, count) * (count / len(values))).astype(np.float32)


def _numbers(frames: bytes, width: int) -> NDArray[np.float64]:
    """Whole numbers as WAV has them, little-endian, those of one byte without a sign."""
    frames = frames[: len(frames) // width * width]
    if width == 1:
        return (np.frombuffer(frames, np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        parts = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 1:] = parts
        return wide.reshape(-1).view("<i4").astype(np.float64) / 2**31
    return np.frombuffer(frames, f"<i{width}").astype(np.float64) / 2.0 ** (8 * width - 1)
