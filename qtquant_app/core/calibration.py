"""Calibration data: what a plan says of it, and what is told of the samples before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import shown

DEFAULT = "default"
"""The source that needs no file: Python's language reference, and pictures and sounds that are drawn by rule."""
RANDOM = "random"
"""The source that knows nothing of language, pictures or sounds: numbers by chance, of the right shapes."""

MOST_SAMPLES = 1 << 16
MOST_TOKENS = 1 << 24
"""Of all samples together; they are kept in memory."""

Kind = Literal["text", "images", "audio", "mixed"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Which data a method looks at while it quantizes.

    `source` is "default", "random", a file, a folder, or a data set on the Hub: `hub:org/name[:config][:split]`. `sha256` is that
    of what was read there, once it has been; whoever reads it again finds the same or is refused. Raises UsageError where the
    counts are out of range.
    """

    source: str = DEFAULT
    samples: int = 64
    length: int = 512
    """Tokens of each, at most."""
    chat: bool = False
    """Whether text goes through the tokenizer's chat template."""
    seed: int = 0
    sha256: str = ""
    own: int | None = None
    """Samples that the model writes itself, beside the others: `length` tokens each. None are as many as suit the methods."""

    def __post_init__(self) -> None:
        if not self.source:
            raise _bad("no source of calibration data is named", 'give a file, a folder or "default"')
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise _bad(f"{self.samples:,} samples are none to calibrate with", f"give 1 to {MOST_SAMPLES:,}")
        own = self.own or 0
        if not 0 <= own <= MOST_SAMPLES or own * self.length > MOST_TOKENS:
            raise _bad(f"{own:,} samples are none that a model can write", f"give 0 to {MOST_SAMPLES:,}")
        if self.length < 1 or self.samples * self.length > MOST_TOKENS:
            raise _bad(
                f"{self.samples:,} samples of {self.length:,} tokens are none to calibrate with",
                f"give 1 token or more each, and {MOST_TOKENS:,} together at most",
            )

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

    @classmethod
    def from_json(cls, data: object) -> Calibration:
        """The inverse of `to_json`. Raises ValueError or UsageError naming what is of another kind than it should be."""
        read, known = Fields(data), [f.name for f in fields(cls)]
        given = list(data) if isinstance(data, Mapping) else []
        if unknown := [key for key in given if key not in known]:
            raise ValueError(f"{shown(unknown[0])} is nothing that calibration data have")
        return cls(**{key: _entry(read, key) for key in given})


def _entry(read: Fields, key: str) -> Any:
    if key == "chat":
        chat = read.any(key)
        if not isinstance(chat, bool):
            raise ValueError(f"{key} must be true or false, not {shown(chat)}")
        return chat
    return read.text(key) if key in ("source", "sha256") else read.count(key)


@dataclass(frozen=True, slots=True)
class SampleShown:
    """One sample as people see it: its first words, or what a picture or a sound is called."""

    text: str
    tokens: int = 0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of each tensor that the model is given."""


@dataclass(frozen=True, slots=True)
class Language:
    """What a part of the text is probably written in; `name` is "unknown" where nothing tells."""

    name: str
    share: float
    """Of the samples' characters, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why some of what was read is no sample."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class SamplesReport:
    """What the samples are, told before they are used."""

    source: str
    """As it was asked for."""
    name: str
    """What it is called, such as "the first half of notes.txt"."""
    kind: Kind
    count: int
    asked: int
    tokens: int
    """In all samples together."""
    shortest: int
    longest: int
    """Tokens of one sample; 0 where there is no text."""
    languages: tuple[Language, ...] = ()
    shown: tuple[SampleShown, ...] = ()
    """The first few."""
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences that the user should know: what is synthetic, what was cut."""
    synthetic: tuple[str, ...] = ()
    """Which of text, images and audio were made by rule or by chance, and come from nowhere."""
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document of `qtquant calibration`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What a run calibrated with, and what came of it."""

    samples: SamplesReport
    notes: tuple[str, ...] = ()
    """Sentences about tensors that were not quantized as they were meant to be."""

    def to_json(self) -> dict[str, Any]:
        """For a result's record: how much there was of what, and its digest; none of the samples themselves."""
        kept = ("name", "kind", "count", "tokens", "languages", "synthetic", "sha256")
        said = self.samples.to_json()
        return {key: said[key] for key in kept} | ({"notes": list(self.notes)} if self.notes else {})


def _bad(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint, code="calibration")
