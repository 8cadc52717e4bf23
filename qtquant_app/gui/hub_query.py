"""What is looked for on the Hub, as the window's lines and boxes say it, and what comes back about one model."""

from __future__ import annotations

from dataclasses import dataclass

from qtquant_app.core.hub import CachedModel, HubModel, HubPage

LIMIT = 50
"""Models that one search shows."""


@dataclass(frozen=True, slots=True)
class HubQuery:
    """What is empty or None does not matter."""

    words: str = ""
    task: str = ""
    library: str = ""
    licence: str = ""
    gated: bool | None = None
    least: str = ""
    """Parameters, as the Hub writes them: 500M, 7B."""
    most: str = ""
    sort: str = "downloads"
    limit: int = LIMIT


@dataclass(frozen=True, slots=True)
class Looked:
    """A model's page, and where a browser finds it."""

    page: HubPage
    address: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The Hub's cache on this computer."""

    models: tuple[CachedModel, ...] = ()
    whole: frozenset[str] = frozenset()
    """Paths of those whose weights are all there."""
    pieces: int = 0
    """Bytes of models that were looked into and not fetched."""

    @property
    def bytes(self) -> int:
        return sum(model.bytes for model in self.models)


def base_of(model: HubModel) -> str:
    """What others have quantized too: what `model` was quantized from, or else the model itself."""
    return next((name for name, how in model.base_models if how == "quantized"), model.id)
