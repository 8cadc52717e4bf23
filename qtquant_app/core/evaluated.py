"""Evaluations as a result's record keeps them, read whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.json_fields import Fields
from qtquant_app.core.report import finite

MOST = 20
"""Evaluations that are read of one record."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was measured on one text; None where the record does not say."""

    text: str
    tokens: int
    base_perplexity: float | None
    perplexity: float | None
    kl: float | None
    kl_interval: float | None
    top1_agreement: float | None
    activations: str = "none"

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tokens": self.tokens,
            "base": {"perplexity": self.base_perplexity},
            "quantized": {"perplexity": self.perplexity},
            "kl": self.kl,
            "kl_interval": self.kl_interval,
            "top1_agreement": self.top1_agreement,
            "activations": self.activations,
        }


def evaluations_of(record: object) -> tuple[Evaluated, ...]:
    """The evaluations under `evaluations` of a record, as `Evaluation.to_json` wrote them; entries of another kind are left out."""
    try:
        items: Iterable[Any] = Fields(record).items("evaluations")
    except ValueError:
        return ()
    found: list[Evaluated] = []
    for item in items:
        one = _read(item)
        found += [one] if one is not None else []
        if len(found) == MOST:
            break
    return tuple(found)


def _read(item: object) -> Evaluated | None:
    try:
        read = Fields(item)
        return Evaluated(
            text=read.text_or("text"),
            tokens=read.optional_count("tokens") or 0,
            base_perplexity=_number(Fields(read.any("base")), "perplexity"),
            perplexity=_number(Fields(read.any("quantized")), "perplexity"),
            kl=_number(read, "kl"),
            kl_interval=_number(read, "kl_interval"),
            top1_agreement=_number(read, "top1_agreement"),
            activations=read.text_or("activations", "none"),
        )
    except ValueError:
        return None


def _number(read: Fields, key: str) -> float | None:
    try:
        value = read.any(key)
    except ValueError:
        return None
    return None if value is None else finite(read.number(key))
