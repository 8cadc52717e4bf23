"""`qtquant compare`: schemes side by side over tensors."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.errors import WriteError
from qtquant_app.core.escaping import spreadsheet
from qtquant_app.core.quantities import bytes_text, decibels, figure, percent, plural
from qtquant_app.core.report import ErrorSums, finite
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label

if TYPE_CHECKING:
    from qtquant_app.engine.compare import Comparison

ALL = "(all)"
"""Stands for all tensors taken as one in the tensor column of a CSV."""

_MEASURES = ("sqnr_db", "relative_error", "mse", "max_error", "cosine")


def compare(options: Namespace) -> int:
    """Measures every scheme and prints a row for each."""
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.compare import compare as measure
    from qtquant_app.engine.compare import layers_like
    from qtquant_app.engine.source import open_checkpoint

    schemes = [parse_label(text) for text in options.scheme]
    checkpoint = open_checkpoint(options.model)
    layers = layers_like(checkpoint, options.layer)
    found = drive(measure(checkpoint, layers, schemes, format=options.format or "", device=options.device))
    if options.csv:
        _save(found, Path(options.csv))
    show.document(found.to_json()) if options.json else _show(found)
    return 0


def _show(found: Comparison) -> None:
    say(printable(found.layers[0]) if len(found.layers) == 1 else plural(len(found.layers), "tensor"))
    titles = ("scheme", "size", "bits per weight", "SQNR", "relative error", "max error")
    rows = [
        (
            row.scheme.label,
            bytes_text(row.bytes),
            f"{row.bits_per_weight:.3f}",
            decibels(row.errors.sqnr_db),
            percent(row.errors.relative_error),
            figure(row.errors.max_error),
        )
        for row in found.rows
    ]
    show.table([titles, *rows], right=(1, 2, 3, 4, 5))
    for row in found.rows:
        for refusal in row.refusals:
            say(f"{row.scheme.label} cannot be written as {found.format}: {printable(refusal)}")
    for skipped in found.skipped:
        say(f"left out: {printable(skipped.text)}")


def _save(found: Comparison, path: Path) -> None:
    """A row for each scheme over all tensors, and one for each tensor. Raises WriteError."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(("scheme", "tensor", "bytes", "bits_per_weight", *_MEASURES))
            for row in found.rows:
                out.writerow(_line(row.scheme, ALL, row.bytes, row.errors))
                out.writerows(_line(row.scheme, spreadsheet(t.name), t.bytes, t.errors) for t in row.tensors)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}", hint="choose another file") from None


def _line(scheme: Scheme, name: str, size: int, errors: ErrorSums) -> tuple[object, ...]:
    measures = errors.to_json()
    bits = finite(8 * size / errors.weights) if errors.weights else None
    return scheme.label, name, size, bits, *(measures[key] for key in _MEASURES)
