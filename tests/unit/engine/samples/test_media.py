"""Pictures and sounds: read from files, or drawn by rule."""

from __future__ import annotations

import struct
import wave
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.calibration import Calibration, Refused
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.samples import drawn, open_samples
from qtquant_app.engine.samples.media import Hearing, by_rule, from_files
from qtquant_app.engine.samples.pictures import UnfitError, read_picture
from qtquant_app.engine.samples.sounds import read_sound, resampled
from tests.unit.engine.samples.models import checkpoint, picture

RATE = 8000


def tone(
    file: Path, hertz: float, *, rate: int = RATE, seconds: float = 0.5, width: int = 2, channels: int = 1
) -> Path:
    """A sine at half of full scale in every channel."""
    values = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    whole = np.round(values * (2 ** (8 * width - 1) - 1)).astype(np.int64) + (128 if width == 1 else 0)
    data = b"".join(int(v).to_bytes(width, "little", signed=width > 1) * channels for v in whole)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(data)
    return file


@cache
def good_wave() -> bytes:
    with TemporaryDirectory() as folder:
        return tone(Path(folder) / "a.wav", 440).read_bytes()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_file_gives_its_wave_whatever_its_width(width: int, channels: int, tmp_path: Path) -> None:
    _, sound = read_sound(tone(tmp_path / "a.wav", 440, width=width, channels=channels), RATE, 10)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / RATE)
    assert sound.dtype == np.float32 and np.abs(sound - expected).max() < 1.5 / 2 ** (8 * width - 1) + 1e-6


@pytest.mark.parametrize(("own", "rate"), [(8000, 16_000), (44_100, 16_000), (48_000, 16_000), (22_050, 24_000)])
def test_a_tone_stays_the_same_tone_at_another_rate(own: int, rate: int) -> None:
    before = np.sin(2 * np.pi * 500 * np.arange(own) / own)
    after = resampled(before, own, rate)
    assert len(after) == rate
    assert np.abs(after - np.sin(2 * np.pi * 500 * np.arange(rate) / rate)).max() < 1e-5


def test_what_the_new_rate_cannot_hold_is_left_out() -> None:
    assert np.abs(resampled(np.sin(2 * np.pi * 7000 * np.arange(16_000) / 16_000), 16_000, 8000)).max() < 1e-5


def test_no_more_of_a_sound_is_read_than_is_used(tmp_path: Path) -> None:
    data, sound = read_sound(tone(tmp_path / "a.wav", 440, seconds=2.0), RATE, 0.5)
    assert len(sound) <= 4001 and len(data) == 2 * len(sound)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x03\0\x01\0" + bytes(12), bytes(range(256))]
)
def test_what_is_no_sound_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UnfitError):
        read_sound(tmp_path / "a.wav", RATE, 1)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_broken_wav_file_raises_anything_else(noise: bytes, keep: int) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.wav"
        file.write_bytes(good_wave()[:keep] + noise)
        try:
            _, sound = read_sound(file, RATE, 1)
        except UnfitError:
            return
        assert np.isfinite(sound).all()


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(UnfitError, match="million pixels"):
        read_picture(tmp_path / "a.png")


def test_broken_pictures_are_counted_and_others_taken_in_their_places(tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / f"{number}.png", 40 * number)
    for number in (0, 4):
        file = tmp_path / f"{number}.png"
        file.write_bytes(file.read_bytes()[:40])
    for held_out, shades in ((False, [40, 80]), (True, [120, 200])):
        media = from_files("picture", sorted(tmp_path.iterdir()), "here", 2, Hearing(), held_out=held_out)
        assert [np.asarray(media.get(i)).max() for i in range(media.count)] == shades
        assert media.refused == (Refused("pictures that cannot be decoded", 1),)


def test_a_large_folder_is_spread_over_and_not_read_through(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / f"{number:02}.png", 10 * number)
    (tmp_path / "01.png").write_bytes(b"never looked at")
    media = from_files("picture", sorted(tmp_path.iterdir()), "here", 2, Hearing())
    assert [media.title(i) for i in range(2)] == ["00.png", "05.png"] and not media.refused


def test_one_picture_leaves_none_to_judge_by(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 3)
    assert from_files("picture", [tmp_path / "a.png"], "here", 8, Hearing()).count == 1
    with pytest.raises(SourceError, match="holds no picture to judge by"):
        from_files("picture", [tmp_path / "a.png"], "here", 8, Hearing(), held_out=True)


def test_a_picture_that_changes_before_it_is_used_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 3)
    media = from_files("picture", [tmp_path / "a.png"], "here", 8, Hearing())
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"a\.png has changed"):
        media.get(0)


def test_a_folder_of_sounds_goes_through_the_feature_extractor(tmp_path: Path) -> None:
    found, folder = checkpoint("whisper", tmp_path / "model"), tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        tone(folder / f"{number}.wav", 300 * (number + 1), rate=22_050)
    report = open_samples(found, Calibration(str(folder), samples=1, length=20)).report()
    assert report.shown[0].shapes == {"decoder_input_ids": (1, 20), "input_features": (1, 8, 32)}
    assert "the first half of 3 sounds in data" in report.name and report.synthetic == ()
    assert any("data has none" in note for note in report.notes)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 40), st.integers(0, 3))
def test_what_is_drawn_is_decided_by_its_number_and_the_seed(number: int, seed: int) -> None:
    assert drawn.picture(number, seed).tobytes() == drawn.picture(number, seed).tobytes()
    assert drawn.picture(number, seed).tobytes() != drawn.picture(number + 5, seed).tobytes()
    sound = drawn.sound(number, seed, RATE, 0.2)
    assert np.array_equal(sound, drawn.sound(number, seed, RATE, 0.2)) and 0.1 < np.abs(sound).max() <= 1
    assert not np.array_equal(sound, drawn.sound(number, seed + 1, RATE, 0.2))


def test_pictures_drawn_to_judge_by_are_others_than_those_to_calibrate_with() -> None:
    first, second = (by_rule("picture", Calibration(samples=8), Hearing(), held_out=half) for half in (False, True))
    assert not {first.get(i).tobytes() for i in range(8)} & {second.get(i).tobytes() for i in range(8)}
