"""The columns of results side by side."""

from __future__ import annotations

from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.quantities import NOTHING, bytes_text, duration_text, figure
from qtquant_app.gui.models.agreement_table import figure_or_dash, percent_text
from qtquant_app.gui.models.rows import Column
from qtquant_app.gui.results import Listed

BEST = "\N{BLACK DIAMOND}"
"""Stands at those that none other beats."""


def _kl_tip(one: Listed) -> str:
    """The divergence with half its confidence interval."""
    found = _evaluation(one)
    if found.kl is None:
        return "Divergence from the original, nats a token"
    spread = f" \N{PLUS-MINUS SIGN} {found.kl_interval:.2g}" if found.kl_interval else ""
    return f"{figure(found.kl)}{spread} nats a token, of the 95% confidence interval"


def _evaluation(one: Listed) -> Evaluated:
    return one.row.evaluation or Evaluated("", 0, None, None, None, None, None)


def _last(value: float | None) -> float:
    """A key that sorts what has no number behind all others."""
    return float("inf") if value is None else value


def _judged(one: Listed) -> str:
    return one.state or (f"{_evaluation(one).tokens:,} of {_evaluation(one).text}")


def _perplexity_tip(one: Listed) -> str:
    return f"{figure_or_dash(_evaluation(one).perplexity)}; of the original {figure_or_dash(_evaluation(one).base_perplexity)}"


RESULT_COLUMNS = (
    Column("Name", lambda r: r.row.name, lambda r: r.row.name, "some-model-8B", tip=lambda r: r.row.path),
    Column(
        "Front",
        lambda r: BEST if r.row.best else "",
        lambda r: not r.row.best,
        BEST,
        tip=lambda r: (
            "On the front: none of the same original is both no larger and nearer to it" if r.row.best else ""
        ),
        value=lambda r: "yes" if r.row.best else "no",
    ),
    Column("Format", lambda r: r.row.format, lambda r: r.row.format, "compressed"),
    Column(
        "Scheme",
        lambda r: r.row.scheme or NOTHING,
        lambda r: r.row.scheme,
        "W4 g128 asym learned",
        tip=lambda r: f"{r.row.scheme}, by {', '.join(r.row.methods)}" if r.row.methods else r.row.scheme,
    ),
    Column("Size", lambda r: bytes_text(r.row.bytes), lambda r: r.row.bytes, "88.8 MB", True, unit="bytes"),
    Column(
        "Bits",
        lambda r: f"{r.row.bits_per_weight:.2f}",
        lambda r: r.row.bits_per_weight,
        "8.88",
        True,
        tip=lambda r: "Bits per quantized weight, scales and zero points included",
        unit="per weight",
    ),
    Column(
        "Perplexity",
        lambda r: figure_or_dash(_evaluation(r).perplexity),
        lambda r: _last(_evaluation(r).perplexity),
        "88.88",
        True,
        tip=_perplexity_tip,
        value=lambda r: _evaluation(r).perplexity,
    ),
    Column(
        "KL",
        lambda r: figure_or_dash(_evaluation(r).kl),
        lambda r: _last(_evaluation(r).kl),
        "0.008888",
        True,
        tip=_kl_tip,
        value=lambda r: _evaluation(r).kl,
        unit="nats",
    ),
    Column(
        "Top-1",
        lambda r: percent_text(_evaluation(r).top1_agreement),
        lambda r: -_last(_evaluation(r).top1_agreement),
        "88.88 %",
        True,
        tip=lambda r: "How often both hold the same token to be the likeliest",
        value=lambda r: _evaluation(r).top1_agreement,
    ),
    Column(
        "Made in",
        lambda r: duration_text(r.row.seconds),
        lambda r: _last(r.row.seconds),
        "8 min 08 s",
        True,
        value=lambda r: r.row.seconds,
        unit="s",
    ),
    Column("Judged on", _judged, _judged, "not evaluated", tip=lambda r: r.error or _judged(r)),
)
"""Over Listed."""
