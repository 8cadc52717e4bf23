"""Puts together what a model is given: text, pictures and sounds, each from the source or made where the source has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from qtquant_app.core.calibration import DEFAULT, Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.samples.documents import Documents, built_in
from qtquant_app.engine.samples.found import Found
from qtquant_app.engine.samples.media import Hearing, Media, by_rule, from_files
from qtquant_app.engine.samples.processors import (
    feature_extractor_of,
    image_processor_of,
    processor_of,
    tokenizer_of,
)
from qtquant_app.engine.samples.takes import Takes
from qtquant_app.engine.samples.token_ids import Tokens, tokens_of

_SECONDS = 10.0
_MOST_SECONDS = 60.0


@dataclass(frozen=True)
class Parts:
    """The samples' parts, each with what makes tensors of it. Where one has fewer than another it is gone through again."""

    tokens: Tokens | None = None
    documents: Documents | None = None
    """The half that `tokens` are from."""
    tokenizer: Any = None
    pictures: Media | None = None
    image_processor: Any = None
    sounds: Media | None = None
    feature_extractor: Any = None
    processor: Any = None
    """What puts text and the others together, where tokens of the text stand for them."""
    digests: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def media(self) -> tuple[Media, ...]:
        return tuple(part for part in (self.pictures, self.sounds) if part is not None)

    @property
    def count(self) -> int:
        """As many samples as the longest part has that is not drawn by rule."""
        real = [media.count for media in self.media if not media.synthetic]
        real += [] if self.tokens is None else [len(self.tokens.ids)]
        return max(real or [media.count for media in self.media])


def parts_of(checkpoint: Checkpoint, takes: Takes, found: Found, calibration: Calibration, *, held_out: bool) -> Parts:
    """What `found` and the processors of `checkpoint` make. Raises SourceError where nothing there is for such a model."""
    _check(takes, found)
    builder = _Builder(checkpoint, takes, found, calibration, held_out)
    return builder.with_text(builder.with_sounds(builder.with_pictures(Parts())))


def _check(takes: Takes, found: Found) -> None:
    wanted = [
        word
        for word, there in (("text", takes.text), ("pictures", takes.images), ("sounds", bool(takes.sounds)))
        if there
    ]
    held = {"text": found.documents is not None, "pictures": bool(found.pictures), "sounds": bool(found.sounds)}
    if found.name != DEFAULT and not any(held[word] for word in wanted):
        raise SourceError(
            f"{found.name} holds no {' or '.join(wanted)}, and {takes.label} takes nothing else",
            hint=f"give a file or a folder of {' or '.join(wanted)}",
            code="calibration",
        )


@dataclass(frozen=True)
class _Builder:
    checkpoint: Checkpoint
    takes: Takes
    found: Found
    calibration: Calibration
    held_out: bool

    def with_pictures(self, parts: Parts) -> Parts:
        if not self.takes.images or not self._wanted(bool(self.found.pictures)):
            return parts
        processor = image_processor_of(self.checkpoint)
        if self.found.pictures:
            media = self._files("picture", Hearing())
        else:
            media = by_rule("picture", self.calibration, Hearing(), held_out=self.held_out)
        return replace(parts, pictures=media, image_processor=processor, digests=(*parts.digests, media.sha256))

    def with_sounds(self, parts: Parts) -> Parts:
        if not self.takes.sounds or not self._wanted(bool(self.found.sounds)):
            return parts
        extractor = feature_extractor_of(self.checkpoint)
        hearing = hearing_of(extractor)
        if self.found.sounds:
            media = self._files("sound", hearing)
        else:
            media = by_rule("sound", self.calibration, hearing, held_out=self.held_out)
        return replace(parts, sounds=media, feature_extractor=extractor, digests=(*parts.digests, media.sha256))

    def with_text(self, parts: Parts) -> Parts:
        if not self.takes.text:
            return parts
        captions = self._captions(parts)
        whole = captions or self.found.documents or built_in()
        documents = whole if captions else whole.half(self.held_out)
        tokenizer = tokenizer_of(self.checkpoint)
        tokens = tokens_of(documents, tokenizer, self.takes, self.calibration, captions=captions is not None)
        joint = self._joint(parts)
        notes = (*parts.notes, *self._notes(tokens, documents, captions is not None))
        return replace(
            parts,
            tokens=tokens,
            documents=documents,
            tokenizer=tokenizer,
            processor=joint,
            digests=(*parts.digests, whole.sha256),
            notes=notes,
        )

    def _wanted(self, there: bool) -> bool:
        """A model that goes on with a text runs without the rest: what was not given then stays away."""
        return there or self.found.name == DEFAULT or not (self.takes.decoder_only and self.takes.reads)

    def _files(self, what: Any, hearing: Hearing) -> Media:
        files = self.found.pictures if what == "picture" else self.found.sounds
        return from_files(what, files, self.found.name, self.calibration.samples, hearing, held_out=self.held_out)

    def _captions(self, parts: Parts) -> Documents | None:
        """The texts beside the pictures or sounds, in their order, where each has one."""
        files = next((media.files for media in parts.media if media.files), ())
        texts = [self.found.caption(file) for file in files]
        if not texts or not all(texts):
            return None
        return Documents(f"the texts beside them in {self.found.name}", texts)

    def _joint(self, parts: Parts) -> Any:
        if not parts.media or not (self.takes.decoder_only and self.takes.reads):
            return None
        processor = processor_of(self.checkpoint)
        return processor if any(placeholders(processor)) else None

    def _notes(self, tokens: Tokens, documents: Documents, captions: bool) -> Iterator[str]:
        asked = self.calibration
        if tokens.length < asked.length:
            yield f"cut to {tokens.length:,} tokens: the model has no positions for more"
        elif not captions and len(tokens.ids[0]) < tokens.length and len(tokens.ids) == 1:
            yield f"the text is too short for one sample of {tokens.length:,} tokens"
        if not captions and len(tokens.ids) < asked.samples:
            yield f"{documents.name} has room for {len(tokens.ids):,} of {asked.samples:,} samples"
        if captions is False and self.found.documents is None and self.found.name != DEFAULT:
            yield f"the text is {documents.name}: {self.found.name} has none"


def placeholders(processor: Any) -> tuple[str, str]:
    """The words of a text that stand for a picture and for a sound; empty where there is none."""
    found = (getattr(processor, name, None) for name in ("image_token", "audio_token"))
    image, audio = (word if isinstance(word, str) else "" for word in found)
    return image, audio


def hearing_of(extractor: Any) -> Hearing:
    """What a feature extractor of transformers says of itself."""
    rate = getattr(extractor, "sampling_rate", None)
    lengths = (getattr(extractor, name, None) for name in ("chunk_length", "max_length_s", "chunk_length_s"))
    seconds = next((float(length) for length in lengths if isinstance(length, (int, float)) and length > 0), _SECONDS)
    usable = isinstance(rate, int) and 1000 <= rate <= 192_000
    return Hearing(int(rate) if usable and rate is not None else 16_000, min(seconds, _MOST_SECONDS))
