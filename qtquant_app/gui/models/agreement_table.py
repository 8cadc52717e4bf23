"""The columns of what each output of a result comes to beside its original's."""

from __future__ import annotations

from qtquant_app.core.quantities import NOTHING, figure
from qtquant_app.gui.models.rows import Column


def percent_text(part: float | None) -> str:
    """A part of all in hundredths of a percent; a dash where there is none."""
    return NOTHING if part is None else f"{100 * part:.2f} %"


def figure_or_dash(value: float | None) -> str:
    """A number in four figures; a dash where there is none."""
    return NOTHING if value is None else figure(value)


def _last(value: float | None) -> float:
    """A key that sorts what has no number behind all others."""
    return float("inf") if value is None else value


AGREEMENT_COLUMNS = (
    Column("Output", lambda o: o.name, lambda o: o.name, "logits_per_image"),
    Column(
        "Cosine",
        lambda o: f"{o.cosine:.6f}",
        lambda o: o.cosine,
        "0.999999",
        True,
        tip=lambda o: f"Of the angle between both outputs: {o.cosine!r}; 1 where they point the same way",
    ),
    Column(
        "Relative error",
        lambda o: percent_text(o.relative_error),
        lambda o: o.relative_error,
        "88.88 %",
        True,
        value=lambda o: o.relative_error,
    ),
    Column(
        "Top-1",
        lambda o: percent_text(o.top1_agreement),
        lambda o: -_last(o.top1_agreement),
        "88.88 %",
        True,
        tip=lambda o: "How often the largest number stands at the same place",
        value=lambda o: o.top1_agreement,
    ),
    Column(
        "KL",
        lambda o: figure_or_dash(o.kl),
        lambda o: _last(o.kl),
        "0.0008888",
        True,
        value=lambda o: o.kl,
        unit="nats",
    ),
)
"""Over OutputAgreement."""
