"""What a model card says of a result: values that were measured or read, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import ErrorSums, TensorReport, finite
from qtquant_app.core.snippets import Snippet


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as the base's own card states it; all empty where that is not known."""

    ids: tuple[str, ...] = ()
    """As the Hub calls it, such as `apache-2.0`; `other` is named by what follows. Several where the base states several."""
    name: str = ""
    link: str = ""

    @property
    def known(self) -> bool:
        return bool(self.ids)


@dataclass(frozen=True, slots=True)
class Base:
    """What a result was made from, as far as that is known."""

    name: str
    """What to call it: its name on the Hub, or that of its folder."""
    hub_id: str = ""
    """`org/name` on the Hub; empty where that is not known."""
    revision: str = ""
    licence: Licence = field(default_factory=Licence)
    pipeline_tag: str = ""
    """The task, as the base's card states it."""


@dataclass(frozen=True, slots=True)
class SchemeShare:
    """One scheme of a result, and how much was quantized by it."""

    label: str
    words: str
    bits: int
    tensors: int
    weights: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RuntimeNote:
    """One runtime that reads the format, and how that is known."""

    title: str
    state: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """All that stands on a card. Texts in it come from files that anyone may have made: `card_text` escapes them."""

    repo: str
    """Where it will stand; empty where that is not known yet."""
    base: Base
    format: str
    program: str
    """The version of QtQuant that made the result."""
    architecture: str
    shares: tuple[SchemeShare, ...]
    """The schemes, the one of most weights first."""
    kept: int
    kept_bytes: int
    coverage_percent: float
    """Of the parameters of linear layers and experts."""
    source_bytes: int
    output_bytes: int
    bits_per_weight: float
    errors: ErrorSums
    """Of all quantized tensors as one."""
    worst: tuple[TensorReport, ...]
    evaluations: tuple[Evaluated, ...]
    snippets: tuple[Snippet, ...]
    runtimes: tuple[RuntimeNote, ...]
    recipe: Recipe
    command: tuple[str, ...]
    versions: Mapping[str, str]
    seed: int
    verified: str
    """How the run that made it verified: `full`, `quick`, `none`."""
    sha256: Mapping[str, str]
    licence_files: tuple[str, ...] = ()
    """Carried over from the base."""
    picture: str = ""
    """The file of an error map; empty where there is none."""
    warnings: tuple[str, ...] = ()
    """What readers should know before they load it, as the plan said it."""

    @property
    def reduction(self) -> float:
        """How many times smaller the result is; 0.0 where it has no bytes."""
        return self.source_bytes / self.output_bytes if self.output_bytes else 0.0

    @property
    def title(self) -> str:
        """The base's short name and the scheme of most weights."""
        short = self.base.name.rpartition("/")[2] or self.format
        return f"{short} {self.shares[0].label}" if self.shares else short

    def to_json(self) -> dict[str, Any]:
        """The figures of the card; the text stands beside them."""
        return {
            "repo": self.repo,
            "title": self.title,
            "base_model": self.base.hub_id,
            "base": self.base.name,
            "license": list(self.base.licence.ids),
            "pipeline_tag": self.base.pipeline_tag,
            "format": self.format,
            "schemes": [
                {"scheme": share.label, "tensors": share.tensors, "weights": share.weights, "bytes": share.bytes}
                for share in self.shares
            ],
            "source_bytes": self.source_bytes,
            "output_bytes": self.output_bytes,
            "bits_per_weight": self.bits_per_weight,
            "sqnr_db": finite(self.errors.sqnr_db),
            "relative_error": finite(self.errors.relative_error),
            "worst": [tensor.to_json() for tensor in self.worst],
            "evaluations": [found.to_json() for found in self.evaluations],
            "picture": self.picture,
        }
