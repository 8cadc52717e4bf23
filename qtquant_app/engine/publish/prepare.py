"""Makes ready what is published: the card, its pictures, and the list of files. Nothing is written and nothing sent."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtquant_app.core.card import Card
from qtquant_app.core.card_text import card_text, edited
from qtquant_app.core.errors import QtQuantError, VerifyError, WriteError
from qtquant_app.core.events import Event
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.publication import Prepared, PublishedFile
from qtquant_app.engine.commit import sha256_of
from qtquant_app.engine.folded import with_foldings
from qtquant_app.engine.foreign_files import portable, read_bounded, stays_inside
from qtquant_app.engine.output import RECORD
from qtquant_app.engine.publish.base_model import README, describe_base
from qtquant_app.engine.publish.card import make_card
from qtquant_app.engine.publish.error_map import written_error_map
from qtquant_app.engine.record import read_record
from qtquant_app.engine.source import SAMPLE
from qtquant_app.engine.verify import base_of, foldings_of, result_plan
from qtquant_app.engine.whole_file import write_file

PICTURE = "error-map.png"
_MAX_CARD = 1_000_000


def prepare(
    output: str | Path, base: str | None = None, *, base_model: str = "", repo: str = "", picture: bool = True
) -> Generator[Event, None, Prepared]:
    """What a publication of the result in `output` would hold.

    With `base` as a folder or a file here, and `picture` set, the tensor that lost most is read again for its error map.
    Raises VerifyError where `output` is no result, SourceError where `base_model` is no name.
    """
    root = Path(output)
    record, plan = read_record(root), result_plan(root)
    described, warnings = describe_base(base, record, base_model)
    card = make_card(record, plan, described, repo)
    pictures: Mapping[str, bytes] = {}
    if picture and base is not None and card.worst and (Path(base).exists() or base == SAMPLE):
        try:
            worst = card.worst[0].name
            source = with_foldings(base_of(plan, base), foldings_of(record, root))
            pictures = {PICTURE: (yield from written_error_map(plan, root, source, worst))}
            card = replace(card, picture=PICTURE)
        except QtQuantError as error:
            warnings += (f"there is no error map: {error.message}",)
    text, own = _text(root, card)
    return Prepared(card, text, own, files_of(root, record), pictures, warnings)


def _text(root: Path, card: Card) -> tuple[str, bool]:
    found = own_card(root)
    return (card_text(card), False) if found is None else (found, True)


def own_card(root: Path) -> str | None:
    """README.md of a result where somebody has written or changed it; None where there is none, or one that was made."""
    try:
        text = read_bounded(root / README, _MAX_CARD).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise VerifyError(
            f"{root / README} cannot be read: {error}", hint="give the card as --card FILE", code="card"
        ) from None
    return text if edited(text) else None


def files_of(root: Path, record: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """The files that a result's record vouches for, and the record itself, the largest first.

    Raises VerifyError where one is missing or lies outside the folder.
    """
    try:
        digests = Fields(record).texts("sha256")
    except ValueError as error:
        raise VerifyError(f"{root / RECORD} is damaged: {error}", code="record") from None
    names = [name for name in digests if name not in (README, RECORD)]
    found = [PublishedFile(name, _size(root, name), digests[name]) for name in names]
    found.append(PublishedFile(RECORD, _size(root, RECORD), sha256_of(root / RECORD)))
    return tuple(sorted(found, key=lambda file: (-file.bytes, file.name)))


def _size(root: Path, name: str) -> int:
    if portable(name) is not None or not stays_inside(root, name):
        raise VerifyError(f"{name!r} is outside the result's folder", code="record")
    try:
        return (root / name).stat().st_size
    except OSError as error:
        hint = "see `qtquant verify`"
        raise VerifyError(f"{root / name} cannot be read: {error.strerror}", hint=hint, code="missing") from None


def save_card(prepared: Prepared, file: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Writes the card to `file` and its pictures beside it; returns what was written.

    Raises WriteError where `file` is a card that somebody has edited, unless `overwrite` is set, or where it cannot be written.
    """
    try:
        there = read_bounded(file, _MAX_CARD).decode(errors="replace") if file.exists() else None
        if there is not None and edited(there) and not overwrite:
            text = f"{file} was edited, and is kept"
            raise WriteError(text, hint="choose another -o, or replace it with --overwrite", code="exists")
        pictures = {file.with_name(name): data for name, data in prepared.pictures.items()}
        for path, data in pictures.items():
            write_file(path, data)
        write_file(file, card_text(prepared.card))
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{file} cannot be written: {reason}", hint="choose another place", code="write") from None
    return (file, *pictures)
