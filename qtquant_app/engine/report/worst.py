"""The tensors that lose most, each with its figures and its error map."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.quantities import bytes_text, decibels, figure, percent, shape_text
from qtquant_app.core.report import TensorReport
from qtquant_app.core.scan import ScanReport, TensorScan
from qtquant_app.engine.picture import error_map_png
from qtquant_app.engine.preview import Preview, preview
from qtquant_app.engine.report.html import Markup, element, joined


def worst_of(scan: ScanReport, count: int) -> list[tuple[TensorScan, TensorReport]]:
    """The tensors furthest below what a scheme gives the model as a whole, each with the report that says so."""
    whole = {total.scheme: total.errors.sqnr_db for total in scan.totals}

    def behind(report: TensorReport) -> float:
        # Lossless schemes have no distance from themselves.
        distance = whole[report.scheme] - report.errors.sqnr_db
        return distance if distance == distance else 0.0

    pairs = [(tensor, max(tensor.reports, key=behind)) for tensor in scan.tensors if tensor.reports]
    pairs.sort(key=lambda pair: (-behind(pair[1]), pair[0].name))
    return pairs[: max(0, count)]


def worst_cards(checkpoint: Checkpoint, scan: ScanReport, count: int, device: str) -> Generator[Event, None, Markup]:
    """A card for each of the worst tensors; their maps are made by the same preview that the window shows."""
    cards = []
    for tensor, report in worst_of(scan, count):
        shown = yield from _previewed(checkpoint, report, scan.format, device)
        cards.append(_card(tensor, report, shown))
    if not cards:
        return element("p", "No tensor was quantized.", class_="faint")
    return element("div", *cards, class_="cards")


def _previewed(
    checkpoint: Checkpoint, report: TensorReport, format: str, device: str
) -> Generator[Event, None, Preview]:
    work = preview(checkpoint, report.name, report.scheme, format=format, device=device)
    while True:
        try:
            event = next(work)
        except StopIteration as done:
            shown: Preview = done.value
            return shown
        if isinstance(event, ChunkDone):
            yield event


def _card(tensor: TensorScan, report: TensorReport, shown: Preview) -> Markup:
    errors, stats = report.errors, tensor.stats
    facts = (
        ("scheme", report.scheme.label),
        ("shape", f"{shape_text(tensor.shape)}, {tensor.dtype}"),
        ("size", f"{bytes_text(report.bytes)}, {8 * report.bytes / errors.weights:.3f} bits per weight"),
        ("SQNR", decibels(errors.sqnr_db)),
        ("relative error", percent(errors.relative_error)),
        ("max error", figure(errors.max_error)),
        ("weights", f"{figure(stats.minimum)} to {figure(stats.maximum)}, std {figure(stats.std)}"),
        ("outliers", f"{stats.outliers:,} beyond 6 standard deviations, excess kurtosis {figure(stats.kurtosis)}"),
        ("flags", ", ".join(tensor.flags) or "none"),
    )
    source = f"data:image/png;base64,{b64encode(error_map_png(shown)).decode()}"
    return element(
        "figure",
        element("h3", tensor.name),
        element("img", src=source, alt=f"Error map of {tensor.name} under {report.scheme.label}", loading="lazy"),
        element("figcaption", f"Largest |error| of each cell, from 0 to {figure(errors.max_error)}"),
        element("dl", joined(joined([element("dt", name), element("dd", value)]) for name, value in facts)),
    )
