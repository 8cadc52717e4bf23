"""What a result was made from: its name on the Hub, and the licence that its own card states. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtquant_app.core.card import Base, Licence
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.hub import HubId, fetch, hub_id

README = "README.md"
_MAX_BYTES = 10_000_000
_MAX_HEAD = 1 << 16
_MOST_BRACKETS = 500
"""The parser takes time with the square of their depth."""
_HEAD = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_WANTED = re.compile(
    r"^(?:license|license_name|license_link|pipeline_tag):[^\n]*\n(?:(?:[ \t-][^\n]*)?\n)*", re.MULTILINE
)
_LICENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")
_TASK = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_MOST_IDS = 8
_SNAPSHOT = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]+)/?$")


def describe_base(base: str | None, recorded: Mapping[str, Any], base_model: str = "") -> tuple[Base, tuple[str, ...]]:
    """What is known of the base, and what is not, in sentences.

    `base` is a folder, a file or a Hub id, None where nobody said; `base_model` the name on the Hub where the user gave it. A
    base on the Hub is asked for its card, which the cache answers where there is no network.
    """
    place = _place(base, recorded, base_model)
    told = place.repo if place else Path(base).name if base else str(recorded.get("source") or "the original")
    metadata, unread = _metadata(base, place)
    known = Base(
        name=told,
        hub_id=place.repo if place else "",
        revision=place.revision if place else "",
        licence=licence_of(metadata),
        pipeline_tag=_task(metadata),
    )
    return known, (*unread, *_gaps(known))


def _place(base: str | None, recorded: Mapping[str, Any], base_model: str) -> HubId | None:
    """The base's place on the Hub: as it was said, as the path of the cache says it, or as the record does."""
    if base_model:
        found = _named(base_model)
        if found is None:
            text = f"{base_model!r} is not a name on the Hub"
            raise SourceError(text, hint="write it as org/name", code="hub-name")
        return found
    if base:
        cached = _SNAPSHOT.search(Path(base).absolute().as_posix())
        return HubId(f"{cached[1]}/{cached[2]}", cached[3]) if cached else hub_id(base)
    return _named(str(recorded.get("base_model") or ""))


def _named(text: str) -> HubId | None:
    """`org/name[@revision]`, though there may be a folder of that name here."""
    repo, _, revision = text.partition("@")
    return HubId(repo, revision) if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo, re.ASCII) else None


def _metadata(base: str | None, place: HubId | None) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The head of the base's card, empty where it has none, and why it could not be read."""
    try:
        return card_head(_card_file(base, place)), ()
    except SourceError as error:
        if error.code == "hub-no-file":
            return {}, ()
        return {}, (f"the card of the base could not be read: {error.message}",)


def _card_file(base: str | None, place: HubId | None) -> Path | None:
    local = Path(base) if base else None
    if local is not None and local.exists():
        folder = local if local.is_dir() else local.parent
        if (folder / README).is_file():
            return folder / README
    return fetch(place, README) if place is not None else None


def card_head(file: Path | None) -> Mapping[str, Any]:
    """The YAML at the head of a card, all its values as texts; empty where there is none that can be read."""
    if file is None:
        return {}
    try:
        text = read_bounded(file, _MAX_BYTES).decode("utf-8-sig")
    except (OSError, ValueError):
        return {}
    return head_of(text)


def head_of(text: str) -> Mapping[str, Any]:
    """As `card_head`, of a card's text. Only the entries wanted here are parsed: some heads are long with results."""
    found = _HEAD.match(text)
    wanted = "".join(entry[0] for entry in _WANTED.finditer(found[1])) if found else ""
    try:
        return _parsed(wanted)
    except ValueError:
        return {}


def check_head(card: str) -> None:
    """Raises ValueError where the head of a card is no YAML, or holds something else than names and values.

    Of a head that is very long or very deep the Hub is left to judge.
    """
    found = _HEAD.match(card)
    if found and not _endless(found[1]):
        _parsed(found[1])


def _endless(text: str) -> bool:
    return len(text) > _MAX_HEAD or text.count("[") + text.count("{") > _MOST_BRACKETS


def _parsed(text: str) -> Mapping[str, Any]:
    import yaml  # type: ignore[import-untyped]

    if _endless(text):
        raise ValueError("it is too long")
    try:
        # BaseLoader makes texts of everything, and merges nothing: `<<` would let a short head become endless
        head = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ValueError("it is no YAML") from None
    if head and not isinstance(head, dict):
        raise ValueError("it holds no names")
    return head or {}


def licence_of(metadata: Mapping[str, Any]) -> Licence:
    """The licence that a card's head states; an empty one where it states none that makes sense."""
    stated = metadata.get("license")
    items = stated if isinstance(stated, list) else [stated]
    ids = tuple(item for item in items if isinstance(item, str) and _LICENCE_ID.fullmatch(item))
    if not ids or len(ids) != len(items) or len(ids) > _MOST_IDS or ids[0].lower() in ("unknown", "null", "none"):
        return Licence()
    return Licence(ids, _short(metadata.get("license_name")), _short(metadata.get("license_link")))


def _short(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 300 else ""


def _task(metadata: Mapping[str, Any]) -> str:
    stated = metadata.get("pipeline_tag")
    return stated if isinstance(stated, str) and _TASK.fullmatch(stated) else ""


def _gaps(base: Base) -> tuple[str, ...]:
    gaps = []
    if not base.hub_id:
        gaps.append(
            "the base's name on the Hub is not known, so the card links to none: give it as --base-model ORG/NAME"
        )
    if not base.licence.known:
        gaps.append("the base's licence is not known, and the card says so")
    return tuple(gaps)
