"""Finds models on the Hub, by the filters that the Hub itself has; and what has been quantized of one already."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.errors import SourceError, UsageError
from qtquant_app.core.hub import SORTS, UNKNOWN, HubModel, Quantization
from qtquant_app.engine.hub.client import ask_page
from qtquant_app.engine.hub.found import EXPAND, model_of
from qtquant_app.engine.hub.listing import Listing, listing
from qtquant_app.engine.hub.names import HubId

MOST = 1000
"""Models that one search returns."""
_PAGE = 100
_AT_ONCE = 8
_SORTED = {"updated": "lastModified", "created": "createdAt", "trending": "trendingScore"}
_FORMATS = (
    "gguf",
    "mlx",
    "gptq",
    "awq",
    "exl2",
    "exl3",
    "bitsandbytes",
    "compressed-tensors",
    "hqq",
    "aqlm",
    "fp8",
    "onnx",
)
"""By the tags that the Hub gives, the surest first."""
_ENDINGS = {".gguf": "gguf", ".onnx": "onnx"}
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".onnx")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; what is empty or None does not matter."""

    words: str = ""
    task: str = ""
    library: str = ""
    licence: str = ""
    author: str = ""
    gated: bool | None = None
    least: str = ""
    """Parameters, as the Hub writes them: 500M, 7B."""
    most: str = ""
    sort: str = "downloads"
    limit: int = 20
    tags: tuple[str, ...] = ()

    def params(self) -> dict[str, Any]:
        """The query. Raises UsageError where there can be none such."""
        if self.sort not in SORTS:
            raise UsageError(
                f"models cannot be sorted by {self.sort!r}", hint=f"one of {', '.join(SORTS)}", code="usage"
            )
        if not 1 <= self.limit <= MOST:
            raise UsageError(f"{self.limit:,} models cannot be listed", hint=f"1 to {MOST:,}", code="usage")
        filters = [self.library, f"license:{self.licence}" if self.licence else "", *self.tags]
        sizes = ",".join(f"{name}:{size}" for name, size in (("min", self.least), ("max", self.most)) if size)
        said = {"search": self.words, "pipeline_tag": self.task, "author": self.author, "num_parameters": sizes}
        params: dict[str, Any] = {name: value for name, value in said.items() if value}
        if any(filters):
            params["filter"] = [filter for filter in filters if filter]
        if self.gated is not None:
            params["gated"] = self.gated
        limit = min(self.limit, _PAGE)
        return {**params, "sort": _SORTED.get(self.sort, self.sort), "limit": limit, "expand": list(EXPAND)}


def search(wanted: Search) -> list[HubModel]:
    """The models that the Hub finds, in its order. Raises UsageError, or SourceError where the Hub does not answer."""
    place, path, params = HubId("the list of models"), "/api/models", wanted.params()
    found: list[HubModel] = []
    while path and len(found) < wanted.limit:
        rows, path = ask_page(path, params or None, place=place)
        found += _models(rows)
        params = {}
        if not rows:
            break
    return found[: wanted.limit]


def _models(rows: object) -> list[HubModel]:
    try:
        if not isinstance(rows, list):
            raise ValueError("no list")
        return [model_of(row) for row in rows]
    except ValueError:
        hint = "see that HF_ENDPOINT names a Hub, and try again"
        raise SourceError("what the Hub answered makes no sense", hint=hint, code="hub-answer") from None


def quantizations_of(base: str, limit: int = 20) -> list[Quantization]:
    """What is published as quantized from `base`, the most downloaded first: from the Hub's model tree.

    Sizes that the list does not say are asked for, one request each.
    """
    models = search(Search(tags=(f"base_model:quantized:{base}",), limit=limit))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sizes") as pool:
        return list(pool.map(_measured, models))


def _measured(model: HubModel) -> Quantization:
    """A model with its format and its sizes."""
    format = format_of(model.tags, model.library)
    if model.bytes and format not in (UNKNOWN, "gguf"):
        return Quantization(model, format, model.bytes, model.bytes)
    try:
        files = listing(HubId(model.id))
    except SourceError:  # gated, or gone since: what is known is told
        return Quantization(model, format, model.bytes, model.bytes)
    if format == UNKNOWN:
        format = next((name for end, name in _ENDINGS.items() if any(f.endswith(end) for f in files.files)), UNKNOWN)
    return Quantization(model, format, *_sizes(files, format))


def _sizes(found: Listing, format: str) -> tuple[int, int]:
    """Bytes of the smallest and of the largest model that a repository holds: of GGUF files each is one, others are shards."""
    weights = {name: file.size for name, file in found.files.items() if name.endswith(_WEIGHTS)}
    whole = [size for name, size in weights.items() if name.endswith(".gguf") and "-of-" not in name]
    if format == "gguf" and whole:
        return min(whole), max(whole)
    total = sum(weights.values())
    return total, total


def format_of(tags: Iterable[str], library: str = "") -> str:
    """The format that a repository's tags speak of; `unknown` where they do not."""
    said = {tag.lower() for tag in tags} | {library.lower()}
    return next((format for format in _FORMATS if format in said), UNKNOWN)
