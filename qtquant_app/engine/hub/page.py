"""A model on the Hub as a person looks at it: its card, its files with their sizes, its branches and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtquant_app.core.errors import SourceError
from qtquant_app.core.hub import HubFile, HubPage
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.hub.client import ask
from qtquant_app.engine.hub.faults import told
from qtquant_app.engine.hub.files import cached, fetch
from qtquant_app.engine.hub.found import EXPAND, model_of
from qtquant_app.engine.hub.listing import listing
from qtquant_app.engine.hub.names import HubId

_MOST_CARD = 2_000_000
_MOST_FIELDS = 200_000
_MOST_REFS = 1000
CARD = "README.md"


def page(place: HubId, *, card: bool = True) -> HubPage:
    """All that is to be read about a model before it is fetched; with `card`, its text too where access to it is granted.

    Raises SourceError where there is no such model, or where the Hub cannot be reached.
    """
    with told(place):
        model = model_of(ask(f"/api/models/{place.repo}", {"expand": list(EXPAND)}, place=place))
    found = listing(place)
    branches, tags = revisions(place)
    text = _card(found.place) if card and CARD in found.files else ""
    fields, body = card_parts(text)
    files = tuple(HubFile(name, file.size) for name, file in sorted(found.files.items()))
    return HubPage(model, found.commit, files, body, fields, branches, tags)


def revisions(place: HubId) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The branches and the tags of a repository."""
    answer = ask(f"/api/models/{place.repo}/refs", place=place)
    with told(place):
        branches, tags = ([str(ref["name"]) for ref in answer[kind]][:_MOST_REFS] for kind in ("branches", "tags"))
        return tuple(branches), tuple(tags)


def _card(place: HubId) -> str:
    try:
        file = cached(place, CARD) or fetch(place, CARD)
        return read_bounded(file, _MOST_CARD).decode(errors="replace")
    except SourceError as error:
        if error.code == "hub-gated":  # the rest is for everybody to see
            return ""
        raise
    except OSError:
        return ""


def card_parts(text: str) -> tuple[Mapping[str, Any], str]:
    """The fields before a card's text, and the text; no fields where they make no sense."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}, text
    end = next((at for at, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    head = "\n".join(lines[1:end])
    if not end or len(head) > _MOST_FIELDS:
        return {}, text
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    return (found if isinstance(found, dict) else {}), "\n".join(lines[end + 1 :]).lstrip("\n")
