"""Samples that know nothing: numbers by chance in the shapes that the config names. For tests, demonstrations, and whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.samples.takes import Takes

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MOST_VALUES = 1 << 26
"""Of a picture or a sound: sizes stand in a config that anyone may have written."""
_WAVE = 16_000
"""Numbers of a sound where the model takes the wave itself: a second at the usual rate."""


class Chance:
    """Makes sample after sample, each decided by the seed and its number alone."""

    def __init__(self, takes: Takes, calibration: Calibration, first: int) -> None:
        self._takes, self._seed, self._first = takes, calibration.seed, first
        self.length = min(calibration.length, takes.longest or calibration.length)
        self._shapes = {} if takes.decoder_only and takes.reads else _shapes(takes)
        self._forbidden = placeholders(takes.config)
        if takes.text and takes.vocabulary < 2:
            raise _unsaid(takes, "how many tokens it knows")

    def ids(self, number: int) -> Tensor | None:
        """Token ids, [length] int64; None where the model takes no text."""
        import torch

        if not self._takes.text:
            return None
        ids = torch.randint(self._takes.vocabulary, (self.length,), generator=self._generator(number, 0))
        ids[torch.isin(ids, torch.tensor(self._forbidden, dtype=torch.int64))] = 0
        start = self._takes.start
        if start is not None and self._takes.answers and not self._takes.reads:
            ids[0] = start
        return ids

    def others(self, number: int) -> dict[str, Tensor]:
        """Pictures and sounds, normally distributed, [1, ...] float32."""
        import torch

        generator = self._generator(number, 1)
        return {name: torch.randn((1, *shape), generator=generator) for name, shape in self._shapes.items()}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of text, images and audio it makes."""
        text = ("text",) if self._takes.text else ()
        return text + tuple("images" if name == "pixel_values" else "audio" for name in self._shapes)

    def _generator(self, number: int, which: int) -> Generator:
        import torch

        return torch.Generator().manual_seed(((self._seed & 0xFFFF_FFFF) << 31) + 2 * (self._first + number) + which)


def _shapes(takes: Takes) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    if takes.images:
        found["pixel_values"] = _picture(takes)
    if takes.sounds:
        found[takes.sounds] = _sound(takes)
    return found


def _picture(takes: Takes) -> tuple[int, ...]:
    config = getattr(takes.config, "vision_config", None) or takes.config
    size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", 3)
    height, width = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    return _checked(takes, (channels, height, width), "how large its pictures are")


def _sound(takes: Takes) -> tuple[int, ...]:
    if takes.sounds == "input_values" and not hasattr(takes.config, "num_mel_bins"):
        return (_WAVE,)
    bins, positions = (getattr(takes.config, name, None) for name in ("num_mel_bins", "max_source_positions"))
    frames = 2 * positions if isinstance(positions, int) else None  # the encoder's second convolution takes every other
    return _checked(takes, (bins, frames), "how long its sounds are")


def _checked(takes: Takes, shape: tuple[Any, ...], what: str) -> tuple[int, ...]:
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise _unsaid(takes, what)
    count = 1
    for size in shape:
        count *= size
    if count > _MOST_VALUES:
        raise _unsaid(takes, what)
    return shape


def placeholders(config: Any) -> list[int]:
    """Tokens that stand for a picture or a sound: nothing that chance may set, or that a model is to say."""
    names = ("image_token_id", "image_token_index", "video_token_id", "audio_token_id", "audio_token_index")
    return [token for name in names if isinstance(token := getattr(config, name, None), int)]


def _unsaid(takes: Takes, what: str) -> EvaluateError:
    return EvaluateError(
        f"the config of {takes.label} does not say {what}",
        hint="give data of the kind that the model takes",
        code="model",
    )
