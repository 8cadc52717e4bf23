"""What is known of models on the Hub, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

UNKNOWN = "unknown"
SORTS = ("downloads", "likes", "updated", "created", "trending")
"""What found models can be ordered by, the most or the newest first."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model, as far as a list of models says."""

    id: str
    author: str = ""
    downloads: int = 0
    """In the last 30 days."""
    likes: int = 0
    task: str = ""
    """Such as `text-generation`; empty where the Hub does not say, as are the others."""
    library: str = ""
    licence: str = ""
    gated: str = ""
    """`auto` or `manual`: how it is let in; empty where anybody is."""
    private: bool = False
    updated: str = ""
    """YYYY-MM-DD."""
    parameters: int = 0
    """0 where the Hub does not say."""
    bytes: int = 0
    """Of the weights; 0 where the Hub does not say."""
    tags: tuple[str, ...] = ()

    @property
    def base_models(self) -> tuple[tuple[str, str], ...]:
        """The models that it comes from, and how: `quantized`, `finetune`, `adapter`, `merge`, or empty where nobody says."""
        found: dict[str, str] = {}
        for tag in self.tags:
            parts = tag.split(":")
            if parts[0] == "base_model" and len(parts) in (2, 3):
                found[parts[-1]] = parts[1] if len(parts) == 3 else found.get(parts[-1], "")
        return tuple(found.items())

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "tags": list(self.tags), "licence": self.licence or None}


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class HubPage:
    """A model and what a person reads before fetching it."""

    model: HubModel
    commit: str
    files: tuple[HubFile, ...]
    card: str = ""
    """The text of its README without the fields before it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Those fields."""
    branches: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the files that hold weights."""
        return sum(file.bytes for file in self.files if file.name.endswith((".safetensors", ".gguf", ".bin", ".pt")))


@dataclass(frozen=True, slots=True)
class Quantization:
    """A quantized model that somebody has published of a base."""

    model: HubModel
    format: str
    """Such as `gguf`, `gptq`, `awq`; `unknown` where neither tags nor files say."""
    least_bytes: int
    """Of the smallest that a repository of several holds; 0 where the Hub does not say."""
    most_bytes: int

    def to_json(self) -> dict[str, Any]:
        sizes = {"least_bytes": self.least_bytes or None, "most_bytes": self.most_bytes or None}
        return {**self.model.to_json(), "format": self.format, **sizes}


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One revision of a model in the Hub's cache on this computer."""

    repo: str
    commit: str
    revisions: tuple[str, ...]
    """The branches and tags that it was fetched as."""
    bytes: int
    files: int
    used: float
    """Seconds since the epoch when any of its files was last read."""
    path: str

    @property
    def label(self) -> str:
        """What opens it."""
        if "main" in self.revisions:
            return self.repo
        return f"{self.repo}@{self.revisions[0] if self.revisions else self.commit}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "revisions": list(self.revisions), "model": self.label}


@dataclass(frozen=True, slots=True)
class HubAccount:
    """Whom a token belongs to."""

    name: str
    organisations: tuple[str, ...] = ()
    role: str = ""
    """`write`, `read`, `fineGrained`, or empty where the Hub does not say."""
    from_environment: bool = False
    """Whether the token comes from HF_TOKEN, and not from the store."""

    @property
    def may_write(self) -> bool:
        """Whether it may at all; a fine-grained one may only where it was allowed to."""
        return self.role != "read"
