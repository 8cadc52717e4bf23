"""Pictures or sounds for samples: from files, or drawn by rule; made one at a time, when they are asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qtquant_app.core.calibration import Calibration, Refused
from qtquant_app.core.errors import SourceError
from qtquant_app.core.quantities import plural
from qtquant_app.engine.samples import drawn
from qtquant_app.engine.samples.pictures import UnfitError, read_picture
from qtquant_app.engine.samples.sounds import read_sound
from qtquant_app.engine.samples.spread import spread

What = Literal["picture", "sound"]
HELD_OUT = 1_000_000
"""The number of the first drawn one that is only judged by."""


@dataclass(frozen=True)
class Media:
    """`get(i)` is the i-th picture (RGB) or sound (float32 [samples]); `title(i)` what it is called."""

    name: str
    count: int
    get: Callable[[int], Any]
    title: Callable[[int], str]
    sha256: str
    synthetic: bool = False
    files: tuple[Path, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a feature extractor wants: samples a second, and seconds that it looks at."""

    rate: int = 16_000
    seconds: float = 10.0


def from_files(
    what: What, files: Sequence[Path], place: str, most: int, hearing: Hearing, *, held_out: bool = False
) -> Media:
    """At most `most` of a half of `files`, spread over it; each is read once to see that it can be. Raises SourceError for none."""
    read, middle = _reader(what, hearing), max(1, len(files) // 2)
    half = files[middle:] if held_out else files[:middle]
    chosen, refused, digest = _chosen(half, most, read)
    if not chosen:
        reason = f": {refused[0].reason}" if refused else ": a single one is calibrated with"
        raise SourceError(
            f"{place} holds no {what} to {'judge by' if held_out else 'calibrate with'}{reason}",
            hint=f"give a folder of two {what}s or more",
            code="calibration",
        )

    def get(number: int) -> Any:
        try:
            return read(chosen[number])[1]
        except UnfitError as error:
            raise SourceError(f"{chosen[number]} has changed: {error}", hint="begin again", code="changed") from None

    name = f"the {'second' if held_out else 'first'} half of {plural(len(files), what)} in {place}"
    return Media(name, len(chosen), get, lambda i: chosen[i].name, digest, False, tuple(chosen), refused)


def by_rule(what: What, calibration: Calibration, hearing: Hearing, *, held_out: bool = False) -> Media:
    """As many as samples are asked for; synthetic."""
    first, seed = (HELD_OUT if held_out else 0), calibration.seed

    def get(number: int) -> Any:
        if what == "picture":
            return drawn.picture(first + number, seed)
        return drawn.sound(first + number, seed, hearing.rate, hearing.seconds)

    def title(number: int) -> str:
        return (drawn.picture_name if what == "picture" else drawn.sound_name)(first + number)

    digest = hashlib.sha256(f"{what}s by rule {drawn.VERSION}, seed {seed}".encode()).hexdigest()
    return Media(f"synthetic {what}s", calibration.samples, get, title, digest, True)


def _reader(what: What, hearing: Hearing) -> Callable[[Path], tuple[bytes, Any]]:
    if what == "picture":
        return read_picture
    return lambda file: read_sound(file, hearing.rate, hearing.seconds)


def _chosen(
    files: Sequence[Path], most: int, read: Callable[[Path], tuple[bytes, Any]]
) -> tuple[list[Path], tuple[Refused, ...], str]:
    """At most `most` that can be read, in order, what was met that cannot, and the digest of what was read."""
    fit: dict[int, str] = {}
    refused: Counter[str] = Counter()
    for at in spread(len(files), most):
        if len(fit) == most:
            break
        try:
            data, _ = read(files[at])
        except UnfitError as error:
            refused[str(error)] += 1
        else:
            fit[at] = hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256("".join(fit[at] for at in sorted(fit)).encode()).hexdigest()
    chosen = [files[at] for at in sorted(fit)]
    return chosen, tuple(Refused(reason, count) for reason, count in refused.most_common()), digest
