"""What the Hub's API says of a model, as a value: every field checked, since an answer is a foreign file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtquant_app.core.dtypes import ITEM_BITS
from qtquant_app.core.hub import HubModel

_LONGEST = 200
"""Characters of a field."""
_MOST_TAGS = 500
EXPAND = (
    *("author", "downloads", "likes", "pipeline_tag", "library_name", "tags", "gated", "private", "lastModified"),
    *("safetensors", "gguf", "cardData"),
)
"""What of each model is asked for."""


def model_of(data: Any) -> HubModel:
    """Raises ValueError where `data` describes no model."""
    if not isinstance(data, Mapping) or not _text(data.get("id")):
        raise ValueError("it has no id")
    tags = tuple(tag[:_LONGEST] for tag in _list(data.get("tags"))[:_MOST_TAGS] if isinstance(tag, str))
    gated, repo = data.get("gated"), _text(data["id"])
    parameters, nbytes = _weights(data)
    return HubModel(
        id=repo,
        author=_text(data.get("author")) or repo.rpartition("/")[0],
        downloads=_count(data.get("downloads")),
        likes=_count(data.get("likes")),
        task=_text(data.get("pipeline_tag")),
        library=_text(data.get("library_name")),
        licence=_licence(data.get("cardData"), tags),
        gated=gated if gated in ("auto", "manual") else "auto" if gated is True else "",
        private=data.get("private") is True,
        updated=_text(data.get("lastModified"))[:10],
        parameters=parameters,
        bytes=nbytes,
        tags=tags,
    )


def _licence(card: object, tags: Sequence[str]) -> str:
    """What the card says; `other` is what it calls one of its own, which has a name then."""
    fields: Mapping[str, Any] = card if isinstance(card, Mapping) else {}
    said = fields.get("license")
    said = said[0] if isinstance(said, list) and len(said) == 1 else said
    if _text(said) == "other" and _text(fields.get("license_name")):
        return _text(fields.get("license_name"))
    tagged = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")
    return _text(said) or tagged


def _weights(data: Mapping[str, Any]) -> tuple[int, int]:
    """Parameters and bytes, as the Hub counted them in the headers of the weight files."""
    safetensors, gguf = data.get("safetensors"), data.get("gguf")
    if isinstance(safetensors, Mapping):
        counts = safetensors.get("parameters")
        known = {k: _count(n) for k, n in counts.items()} if isinstance(counts, Mapping) else {}
        bits = sum(ITEM_BITS.get(dtype, 0) * count for dtype, count in known.items())
        complete = all(dtype in ITEM_BITS for dtype in known)
        return _count(safetensors.get("total")) or sum(known.values()), bits // 8 if complete else 0
    return (_count(gguf.get("total")), 0) if isinstance(gguf, Mapping) else (0, 0)


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1 << 62 else 0


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
