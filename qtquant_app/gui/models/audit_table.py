"""What an audit found, as a table shows it: the tensors with their errors, and the words for how grave a finding is."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from qtquant_app.core.audit import AuditedTensor, AuditReport, Severity
from qtquant_app.core.quantities import NOTHING, decibels, figure, percent, plural, shape_text
from qtquant_app.gui.models.rows import Column

SEVERITIES: dict[Severity, tuple[str, str, str]] = {
    "wrong": ("\u2715", "Wrong", "bad"),
    "suspect": ("\u25b2", "Suspect", "warn"),
    "note": ("\u25cb", "Worth knowing", "muted"),
}
"""A sign, the words and the tone of each."""


def _about(tensor: AuditedTensor) -> str:
    """All that is known of a tensor, for its tip."""
    errors = tensor.errors
    lines = [
        tensor.name,
        f"{shape_text(tensor.shape)} {tensor.kind}, {tensor.state}, stored as {tensor.layout}",
        f"MSE {figure(errors.mse)}, cosine {errors.cosine:.6f}",
    ]
    if tensor.other_name != tensor.name:
        lines.insert(1, f"called {tensor.other_name} in the quantized checkpoint")
    if tensor.groups:
        lines.append(
            f"{plural(tensor.groups, 'scale')}, the median {figure(tensor.scale_factor)} times what fits the base"
        )
    if tensor.rescaled_error is not None:
        lines.append(f"{percent(tensor.rescaled_error)} off once rescaled rows or columns are scaled back")
    if tensor.non_finite:
        lines.append(f"{plural(tensor.non_finite, 'weight')} of NaN or infinity")
    return "\n".join(lines)


def _off(tensor: AuditedTensor) -> str:
    return f"{tensor.groups_off:,}" if tensor.groups else NOTHING


def _stored(tensor: AuditedTensor) -> str:
    return tensor.layout if tensor.state == "quantized" else f"{tensor.layout}, {tensor.state}"


AUDIT_COLUMNS = (
    Column("Tensor", lambda t: t.name, lambda t: t.name, "88.mlp.down_proj.weight", tip=_about),
    Column("Stored as", _stored, _stored, "gptq W4 g128 asym"),
    Column("Bits", lambda t: f"{t.bits_per_weight:.2f}", lambda t: t.bits_per_weight, "16.00", True),
    Column(
        "Rel. error", lambda t: percent(t.errors.relative_error), lambda t: t.errors.relative_error, "8.888 %", True
    ),
    Column("SQNR", lambda t: decibels(t.errors.sqnr_db), lambda t: t.errors.sqnr_db, "88.88 dB", True, unit="dB"),
    Column("Max error", lambda t: figure(t.errors.max_error), lambda t: t.errors.max_error, "0.008888", True),
    Column("Scales off", _off, lambda t: t.groups_off, "8,888", True),
)
"""Over AuditedTensor."""
NARROW = {3: "88.888 %", 4: "88.88 dB", 5: "Max error", 6: "Scales off"}
"""Widths that leave room for the names."""


def verdict(report: AuditReport) -> tuple[str, str]:
    """One sentence, and its tone."""
    counts = Counter(finding.severity for finding in report.findings)
    if not report.ok:
        return f"\u2715  {plural(counts['wrong'], 'thing is', 'things are')} wrong with {report.other}.", "bad"
    if counts["suspect"]:
        said = plural(counts["suspect"], "thing is", "things are")
        return f"\u25b2  Nothing is wrong with {report.other}; {said} odd, and may be meant.", "warn"
    return f"\u2713  Nothing is wrong with {report.other}.", "good"


def totals(report: AuditReport) -> str:
    """What is quantized, how, and how far from the base it is."""
    if not report.quantized:
        return f"{plural(len(report.tensors), 'tensor')} compared; none is quantized."
    errors = report.errors
    return (
        f"{report.method or 'Quantized'}: {len(report.quantized):,} of {plural(len(report.tensors), 'tensor')} quantized, "
        f"{report.bits_per_weight:.2f} bits per weight, {percent(errors.relative_error)} from the base, "
        f"SQNR {decibels(errors.sqnr_db)}."
    )


def findings_text(report: AuditReport) -> str:
    """The verdict and all findings as plain text, ready to send to whoever made the file."""
    lines = [f"{report.other} beside {report.base}", verdict(report)[0], totals(report), ""]
    for severity in get_args(Severity):
        lines += [f"{severity}: {found.text}" for found in report.findings if found.severity == severity]
    return "\n".join(lines) + "\n"
