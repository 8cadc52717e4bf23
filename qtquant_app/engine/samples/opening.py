"""Makes samples of a source for a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtquant_app.core.calibration import RANDOM, Calibration, Kind, SampleShown, SamplesReport
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError, SourceError
from qtquant_app.core.quantities import plural
from qtquant_app.engine.language_model import sentences, silent
from qtquant_app.engine.samples.chance import Chance
from qtquant_app.engine.samples.found import look_up
from qtquant_app.engine.samples.languages import languages_of
from qtquant_app.engine.samples.media import HELD_OUT
from qtquant_app.engine.samples.parts import Parts, parts_of, placeholders
from qtquant_app.engine.samples.sequence import Sample, Samples
from qtquant_app.engine.samples.takes import Takes, takes_of

if TYPE_CHECKING:
    from torch import Tensor

_LOOKED_AT = 256
"""Samples whose language is guessed, spread over all."""
_LINE = 48
"""Tokens of a sample that are shown."""


def open_samples(checkpoint: Checkpoint, calibration: Calibration, *, held_out: bool = False) -> Samples:
    """Samples for the model of `checkpoint`: of the first half of what is at the source; of the second, where `held_out` is set.

    No code of the checkpoint or of a data set is run. Raises SourceError where there is nothing to read at the source, or where its
    first half is another than `calibration` was planned with; EvaluateError where the model, its tokenizer or its processor cannot
    be opened, or where what is there is too short.
    """
    takes = takes_of(checkpoint)
    if calibration.source == RANDOM:
        return _by_chance(takes, calibration, held_out)
    found = look_up(calibration.source)
    parts = parts_of(checkpoint, takes, found, calibration, held_out=held_out)
    digest = hashlib.sha256("\n".join(parts.digests).encode()).hexdigest()
    if not held_out and calibration.sha256 not in ("", digest):
        raise SourceError(
            f"{calibration.source} holds other data than when the calibration was planned",
            hint="put the data back, or plan anew",
            code="calibration-changed",
        )
    known = calibration if held_out else replace(calibration, sha256=digest)
    return Samples(
        known,
        replace(_facts(known, parts), sha256=digest),
        partial(_made, checkpoint, takes, parts),
        partial(_title, parts),
    )


def _made(checkpoint: Checkpoint, takes: Takes, parts: Parts, number: int) -> Sample:
    """The sample of that number."""
    with silent(), sentences(checkpoint, "cpu"):
        if parts.processor is not None:
            return _joint(takes, parts, number)
        sample = {} if parts.tokens is None else _text(takes, parts.tokens.ids[number % len(parts.tokens.ids)])
        return sample | _media(takes, parts, number)


def _text(takes: Takes, ids: Tensor) -> Sample:
    """The text of a sample; where a second decoder answers it, the same text moved by one, as in training."""
    import torch

    if not takes.reads:
        return {"decoder_input_ids": ids[None]}
    sample = {"input_ids": ids[None]}
    if takes.masked:
        sample["attention_mask"] = torch.ones_like(ids)[None]
    if takes.answers:
        start = ids.new_tensor([0 if takes.start is None else takes.start])
        sample["decoder_input_ids"] = torch.cat([start, ids[:-1]])[None]
    return sample


def _media(takes: Takes, parts: Parts, number: int) -> Sample:
    sample: Sample = {}
    if parts.pictures is not None:
        picture = parts.pictures.get(number % parts.pictures.count)
        sample |= _kept(takes, parts.image_processor(images=picture, return_tensors="pt"))
    if parts.sounds is not None:
        extractor, sound = parts.feature_extractor, parts.sounds.get(number % parts.sounds.count)
        rate = getattr(extractor, "sampling_rate", None)
        sample |= _kept(takes, extractor(sound, sampling_rate=rate, return_tensors="pt"))
    return sample


def _joint(takes: Takes, parts: Parts, number: int) -> Sample:
    """Text with the words before it that stand for a picture and a sound, as the model's own processor puts them together."""
    assert parts.tokens is not None
    image, audio = placeholders(parts.processor)
    given: dict[str, Any] = {}
    before = ""
    if parts.pictures is not None and image:
        given["images"], before = [parts.pictures.get(number % parts.pictures.count)], image + "\n"
    if parts.sounds is not None and audio:
        given["audio"], before = [parts.sounds.get(number % parts.sounds.count)], before + audio + "\n"
    ids = parts.tokens.ids[number % len(parts.tokens.ids)]
    text = before + str(parts.tokenizer.decode(ids, skip_special_tokens=True))
    return _kept(takes, parts.processor(text=[text], return_tensors="pt", **given))


def _kept(takes: Takes, made: Any) -> Sample:
    """The tensors among what a processor made that the model takes."""
    import torch

    found = {name: value for name, value in made.items() if name in takes.names and isinstance(value, torch.Tensor)}
    return {name: value.float() if value.is_floating_point() else value.long() for name, value in found.items()}


def _title(parts: Parts, number: int) -> SampleShown:
    words = [media.title(number % media.count) for media in parts.media]
    if parts.tokens is None:
        return SampleShown(", ".join(words))
    ids = parts.tokens.ids[number % len(parts.tokens.ids)]
    text = str(parts.tokenizer.decode(ids[:_LINE]))
    return SampleShown(", ".join([*words, " ".join(text.split())]), len(ids))


def _facts(calibration: Calibration, parts: Parts) -> SamplesReport:
    count = min(parts.count, calibration.samples)
    ids = [] if parts.tokens is None else parts.tokens.ids
    lengths = [len(ids[i % len(ids)]) for i in range(count)] if ids else [0]
    names = [] if parts.documents is None else [parts.documents.name]
    text = () if parts.documents is None or parts.tokens is None else (*parts.documents.refused, *parts.tokens.refused)
    kinds = [word for word, there in zip(("text", "images", "audio"), _there(parts), strict=True) if there]
    synthetic = [
        word for word, media in (("images", parts.pictures), ("audio", parts.sounds)) if media and media.synthetic
    ]
    return SamplesReport(
        source=calibration.source,
        name=", ".join([media.name for media in parts.media] + names),
        kind=_kind(kinds),
        count=count,
        asked=calibration.samples,
        tokens=sum(lengths),
        shortest=min(lengths),
        longest=max(lengths),
        languages=languages_of(_decoded(parts, ids)),
        refused=(*(entry for media in parts.media for entry in media.refused), *text),
        notes=(*parts.notes, *_repeats(parts, count), *_warnings(synthetic)),
        synthetic=tuple(synthetic),
        sha256=calibration.sha256,
    )


def _there(parts: Parts) -> tuple[bool, bool, bool]:
    return parts.tokens is not None, parts.pictures is not None, parts.sounds is not None


def _kind(kinds: Sequence[str]) -> Kind:
    return kinds[0] if len(kinds) == 1 else "mixed"  # type: ignore[return-value]


def _decoded(parts: Parts, ids: Sequence[Tensor]) -> list[str]:
    step = max(1, len(ids) // _LOOKED_AT)
    return [str(parts.tokenizer.decode(part, skip_special_tokens=True)) for part in ids[::step]]


def _repeats(parts: Parts, count: int) -> list[str]:
    return [
        f"{media.name}: {media.count:,} for {plural(count, 'sample')}, so some come more than once"
        for media in parts.media
        if media.count < count
    ]


def _warnings(synthetic: Sequence[str]) -> list[str]:
    what = " and ".join(synthetic)
    return [f"the {what} are drawn by rule, not photographed or recorded: give real data where you can"] if what else []


def _by_chance(takes: Takes, calibration: Calibration, held_out: bool) -> Samples:
    chance = Chance(takes, calibration, HELD_OUT if held_out else 0)
    digest = hashlib.sha256(f"chance, seed {calibration.seed}".encode()).hexdigest()
    known = replace(calibration, sha256=digest)
    if not chance.kinds:
        raise EvaluateError(f"{takes.label} takes nothing that chance could make", code="model")

    def made(number: int) -> Sample:
        ids = chance.ids(number)
        return ({} if ids is None else _text(takes, ids)) | chance.others(number)

    length = chance.length if takes.text else 0
    facts = SamplesReport(
        source=RANDOM,
        name="numbers by chance",
        kind=_kind(chance.kinds),
        count=calibration.samples,
        asked=calibration.samples,
        tokens=length * calibration.samples,
        shortest=length,
        longest=length,
        notes=("numbers by chance tell nothing of what the model will be used for",),
        synthetic=chance.kinds,
        sha256=digest,
    )
    return Samples(known, facts, made, lambda number: SampleShown("by chance", length))
