"""Readers of data to calibrate with, each as one function of bytes, and good files for them."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from qtquant_app.core.errors import SourceError
from qtquant_app.engine.samples.documents import one_file
from qtquant_app.engine.samples.pictures import UnfitError, read_picture
from qtquant_app.engine.samples.sounds import read_sound


def chats(data: bytes, folder: Path) -> object:
    (folder / "x.jsonl").write_bytes(data)
    found = one_file(folder / "x.jsonl")
    assert found.sha256 and all(isinstance(item, (str, tuple)) for item in found.items)
    return [found.half(second).text for second in (False, True)]


def sound(data: bytes, folder: Path) -> object:
    (folder / "x.wav").write_bytes(data)
    return _fit(lambda: read_sound(folder / "x.wav", 16_000, 1.0)[1])


def picture(data: bytes, folder: Path) -> object:
    (folder / "x.png").write_bytes(data)
    return _fit(lambda: read_picture(folder / "x.png")[1].size)


def _fit(read: Callable[[], object]) -> object:
    try:
        return read()
    except UnfitError as error:
        raise SourceError(str(error)) from None


def chat_lines() -> Sequence[bytes]:
    talk = [{"role": "user", "content": "What is Ulm?"}, {"role": "assistant", "content": "A town."}]
    shared = [{"from": "human", "value": "one"}, {"from": "gpt", "value": "two"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}]}]
    rows = [{"messages": talk}, {"conversations": shared, "id": 3}, {"messages": parts}, {"text": "plain"}]
    return tuple("\n".join(map(json.dumps, rows[at:])).encode() for at in range(len(rows)))


@cache
def sounds() -> Sequence[bytes]:
    return tuple(_wave(width, channels) for width in (1, 2, 3, 4) for channels in (1, 2))


def _wave(width: int, channels: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as out:
        out.setparams((channels, width, 8000, 0, "NONE", ""))
        out.writeframes(bytes(range(256)) * 12 * width * channels)
    return stream.getvalue()


@cache
def pictures() -> Sequence[bytes]:
    pixels = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)
    return tuple(_encoded(pixels, kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP"))


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()
