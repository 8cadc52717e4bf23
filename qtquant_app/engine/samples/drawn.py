"""Pictures and sounds made by rule, for models of which no data are at hand. They are synthetic, and reports say so.

They are no photographs and no speech: gradients, shapes, textures with the falling spectrum of natural pictures, and text; tones,
sweeps, bursts and voiced syllables in noise. Each is decided by its number and the seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 256
"""Pixels of a picture, each way."""
_PERIOD = 5.0
VERSION = "1"
"""Raised when a rule changes."""
_WORDS = "calibration weights quantize layers round scale group column error block"

Sound = NDArray[np.float32]
Pixels = NDArray[np.float64]
"""Red, green and blue from 0 to 255, [rows, columns, 3]."""
Wave = NDArray[np.float64]


def picture(number: int, seed: int) -> Image:
    """An RGB picture of 256 by 256."""
    from PIL import Image

    random = np.random.default_rng((seed, number, 1))
    kinds = (_gradient, _shapes, _texture, _writing, _stripes)
    pixels = kinds[number % len(kinds)](random)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def picture_name(number: int) -> str:
    """What it shows, in a word or two."""
    return ("colour gradient", "shapes", "texture", "text", "stripes")[number % 5] + " (synthetic)"


def sound(number: int, seed: int, rate: int, seconds: float) -> Sound:
    """A sound of `seconds` at `rate` samples a second, float32 [samples], within -1 and 1; it comes again after five seconds, its
    noise apart."""
    random = np.random.default_rng((seed, number, 2))
    time = np.arange(max(1, round(rate * min(seconds, _PERIOD)))) / rate
    kinds = (_tones, _sweep, _noise, _syllables)
    wave = np.resize(kinds[number % len(kinds)](random, time), max(1, round(rate * seconds)))
    wave += 0.01 * random.standard_normal(len(wave))
    return (0.8 * wave / max(1e-9, float(np.abs(wave).max()))).astype(np.float32)


def sound_name(number: int) -> str:
    """What it is, in a word or two."""
    return ("tones", "sweep", "bursts of noise", "voiced syllables")[number % 4] + " (synthetic)"


def _gradient(random: np.random.Generator) -> Pixels:
    corners = random.uniform(0, 255, (2, 2, 3))
    along = np.linspace(0, 1, SIDE)
    rows = corners[0][None] + along[:, None, None] * (corners[1] - corners[0])[None]
    made: Pixels = rows[:, None, 0] + along[None, :, None] * (rows[:, None, 1] - rows[:, None, 0])
    return made


def _shapes(random: np.random.Generator) -> Pixels:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (SIDE, SIDE), _colour(random))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(4, 12))):
        x, y, w, h = (int(v) for v in random.integers(8, SIDE, 4))
        box = (x - w // 3, y - h // 3, x + w // 3, y + h // 3)
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)(box, fill=_colour(random))
    return np.asarray(canvas, dtype=np.float64)


def _texture(random: np.random.Generator) -> Pixels:
    """Noise whose amplitude falls as one over the frequency, as that of natural pictures does on average (Field, 1987)."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1.0
    made = np.empty((SIDE, SIDE, 3))
    shared = random.standard_normal((SIDE, SIDE))
    for channel in range(3):
        spectrum = np.fft.rfft2(shared + 0.5 * random.standard_normal((SIDE, SIDE))) / frequency
        plane = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
        made[..., channel] = random.uniform(90, 160) + 50 * (plane - plane.mean()) / plane.std()
    return made


def _writing(random: np.random.Generator) -> Pixels:
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (SIDE, SIDE), _colour(random, 200))
    draw, words = ImageDraw.Draw(canvas), _WORDS.split()
    for row in range(10):
        line = " ".join(words[i] for i in random.integers(0, len(words), 4))
        draw.text((int(random.integers(0, 20)), 6 + 25 * row), line, _colour(random, 0, 90), ImageFont.load_default())
    return np.asarray(canvas, dtype=np.float64)


def _stripes(random: np.random.Generator) -> Pixels:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle, count = random.uniform(0, np.pi), random.uniform(2, 40)
    wave = np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)))
    first, second = random.uniform(0, 255, (2, 3))
    made: Pixels = first + (wave[..., None] > random.uniform(-0.5, 0.5)) * (second - first)
    return made


def _colour(random: np.random.Generator, least: int = 0, most: int = 255) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in random.integers(least, most + 1, 3))
    return red, green, blue


def _tones(random: np.random.Generator, time: Wave) -> Wave:
    parts = [np.sin(2 * np.pi * f * time) / (1 + i) for i, f in enumerate(random.uniform(80, 3000, 4))]
    made: Wave = np.sum(parts, axis=0) * (0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(0.5, 3) * time))
    return made


def _sweep(random: np.random.Generator, time: Wave) -> Wave:
    start, end = random.uniform(80, 500), random.uniform(1000, 6000)
    return np.sin(2 * np.pi * (start * time + (end - start) * time**2 / (2 * max(1e-9, float(time[-1])))))


def _noise(random: np.random.Generator, time: Wave) -> Wave:
    bursts = np.sin(2 * np.pi * random.uniform(1, 6) * time) > random.uniform(-0.5, 0.8)
    return np.convolve(random.standard_normal(len(time)), np.ones(4) / 4, "same") * bursts


def _syllables(random: np.random.Generator, time: Wave) -> Wave:
    """A pulse train at the pitch of a voice, its harmonics weighed by three slowly moving formants, four times a second."""
    pitch = random.uniform(90, 220)
    formants = [mean * (1 + 0.2 * np.sin(2 * np.pi * random.uniform(1, 4) * time)) for mean in (600.0, 1400.0, 2600.0)]
    wave = np.zeros_like(time)
    for harmonic in range(1, 25):
        weight = sum(np.exp(-(((harmonic * pitch - formant) / 250) ** 2)) for formant in formants)
        wave += weight * np.sin(2 * np.pi * harmonic * pitch * time)
    made: Wave = wave * np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    return made
