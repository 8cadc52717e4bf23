"""`qtquant remedies`: what would help a tensor, or a part of it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from qtquant_app.cli import show
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import UsageError
from qtquant_app.core.matrix import find
from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, gain_text, more_text, stretch_text
from qtquant_app.core.remedy import Remedy
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place


def remedies(options: Namespace) -> int:
    """Measures them and prints a row for each."""
    from qtquant_app.cli.opening import opened
    from qtquant_app.cli.progress import drive
    from qtquant_app.cli.recipe import scheme_for_layer
    from qtquant_app.engine.remedies import remedies as measure

    checkpoint = opened(options)
    scheme = scheme_for_layer(options, checkpoint)
    place = place_of(checkpoint, scheme, options)
    found = drive(measure(checkpoint, options.layer, scheme, place, format=options.format or "", device=options.device))
    layer = find(checkpoint, options.layer).name
    if options.json:
        show.document(document(layer, scheme, place, found))
    else:
        _show(layer, place, found)
    return 0


def place_of(checkpoint: Checkpoint, scheme: Scheme, options: Namespace) -> Place | None:
    """The channel of --row, or the group in it that --column lies in; None where neither is given."""
    if options.row is None:
        if options.column is not None:
            raise UsageError("--column needs a --row", hint="a group lies in one row", code="usage")
        return None
    columns, size = find(checkpoint, options.layer).columns, scheme.group_size or 1
    if options.column is None:
        return Place((options.row, options.row + 1), (0, columns))
    first = options.column // size * size if 0 <= options.column < columns else options.column
    return Place((options.row, options.row + 1), (first, min(first + size, max(columns, first + 1))))


def document(layer: str, scheme: Scheme, place: Place | None, found: Sequence[Remedy]) -> dict[str, object]:
    """The document of --json."""
    where = None if place is None else {"rows": list(place.rows), "columns": list(place.columns)}
    return {
        "layer": layer,
        "scheme": scheme.to_json(),
        "place": where,
        "remedies": [remedy.to_json() for remedy in found],
    }


def _show(layer: str, place: Place | None, found: Sequence[Remedy]) -> None:
    where = ""
    if place is not None:
        where = f", {stretch_text('row', *place.rows)}, {stretch_text('column', *place.columns)}"
    show.table([(f"{layer}{where}",)])
    titles = ("remedy", "scheme", "SQNR", "gain", "size", "more", "dB per MB", "")
    show.table([titles, *map(_row, found)], right=(2, 3, 4, 5, 6))


def _row(remedy: Remedy) -> tuple[str, ...]:
    price = remedy.db_per_megabyte
    return (
        remedy.title,
        remedy.label,
        decibels(remedy.errors.sqnr_db),
        gain_text(remedy.gain_db),
        bytes_text(remedy.bytes),
        more_text(remedy.bytes_more),
        NOTHING if price is None else f"{price:.3g}",
        remedy.reason,
    )
