"""The page: its parts in order."""

from __future__ import annotations

from collections.abc import Sequence

from qtquant_app import __version__
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.quantities import bytes_text, parameters_text, plural
from qtquant_app.core.scan import ScanReport
from qtquant_app.engine.report.depth import depth_charts
from qtquant_app.engine.report.html import Markup, element, joined
from qtquant_app.engine.report.model_map import model_map
from qtquant_app.engine.report.rows import Layout, laid_out
from qtquant_app.engine.report.style import SCRIPT, STYLE
from qtquant_app.engine.report.tables import all_tensors, flagged_table, totals_table

GENERATOR = "QtQuant report"
"""What the page says it was made by; only such pages are replaced without being asked."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser's own promise that nothing is fetched."""


def page(checkpoint: Checkpoint, scan: ScanReport, worst: Markup) -> str:
    """The whole document; `worst` are the cards of the worst tensors."""
    layout = laid_out(scan.tensors)
    body = (
        _header(checkpoint, scan),
        _section(
            "Schemes", "Over all tensors that a scheme was tried on; sizes are those of the quantized tensors alone."
        )
        + totals_table(scan),
        _section(
            "Model map", "SQNR of each tensor: blocks across, modules down. Each map has its own range of colours."
        )
        + _maps(scan, layout),
        _section("By depth", "What the weights are like from the first block to the last, before any quantization.")
        + depth_charts(layout),
        _section("Flagged tensors") + flagged_table(scan),
        _section(
            "Worst tensors",
            "Those furthest below what a scheme gives the model as a whole, under the scheme that shows it most.",
        )
        + worst,
        _section("All tensors") + all_tensors(scan),
    )
    document = element("html", _head(checkpoint), element("body", *map(Markup, body), Markup(_script())), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _head(checkpoint: Checkpoint) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="generator", content=f"{GENERATOR} {__version__}"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{checkpoint.label}: quantization report"),
        Markup(f"<style>{STYLE}</style>"),
    )


def _script() -> str:
    return f"<script>{SCRIPT}</script>"


def _header(checkpoint: Checkpoint, scan: ScanReport) -> Markup:
    facts = (
        checkpoint.architecture or "unknown architecture",
        f"{parameters_text(checkpoint.parameters)} parameters",
        bytes_text(checkpoint.nbytes),
        plural(len(checkpoint.tensors), "tensor"),
        plural(len(checkpoint.weight_files), "weight file"),
        *([f"sizes as {scan.format} stores them"] if scan.format else []),
    )
    made = element("p", f"Made by QtQuant {__version__}.", class_="faint")
    return joined([element("h1", checkpoint.label), element("p", " · ".join(facts)), made])


def _section(title: str, words: str = "") -> Markup:
    return joined([element("h2", title), element("p", words, class_="faint") if words else ""])


def _maps(scan: ScanReport, layout: Layout) -> Markup:
    schemes = [total.scheme for total in scan.totals]
    maps: Sequence[Markup] = [
        element("details", element("summary", scheme.label), model_map(layout, scheme), open="" if at == 0 else None)
        for at, scheme in enumerate(schemes)
    ]
    if layout.left_out:
        more = f"{plural(layout.left_out, 'tensor')} beyond what a map can show: the table below tells of them."
        maps = [*maps, element("p", more)]
    return joined(maps)
