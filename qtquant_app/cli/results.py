"""`qtquant results`: quantized checkpoints side by side, how large and how near to their original."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.core.errors import WriteError
from qtquant_app.core.escaping import spreadsheet
from qtquant_app.core.quantities import bytes_text, figure, percent

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.core.results import ResultRow, ResultTable


def add_options(verb: ArgumentParser) -> None:
    """Where to look, and where the table goes."""
    verb.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="a result, a quantized checkpoint, a Hub id, or a folder that holds such, as the Hub's cache does",
    )
    verb.add_argument("--csv", metavar="FILE", help="save the table")


def results(options: Namespace) -> int:
    """Shows a row for each, the smallest first; those marked have nothing both smaller and nearer beside them."""
    from qtquant_app.engine.results import collect

    found: ResultTable = drive(collect(options.folders))
    if options.csv:
        _save(found, Path(options.csv))
    show.document(found.to_json()) if options.json else _show(found)
    return 0


def _show(found: ResultTable) -> None:
    titles = ("", "name", "format", "scheme", "size", "bits per weight", "perplexity", "KL", "same token", "error")
    if found.rows:
        show.table([titles, *map(_row, found.rows)], right=(4, 5, 6, 7, 8, 9))
    else:
        say("no quantized checkpoint is there")
    if any(row.best for row in found.rows):
        say("\n* nothing of the same original is both smaller and nearer to it in KL divergence")
    for skipped in found.skipped:
        say(f"left out: {printable(skipped.path)}: {printable(skipped.reason)}")


def _row(row: ResultRow) -> tuple[object, ...]:
    one = row.evaluation
    perplexity, same = (None, None) if one is None else (one.perplexity, one.top1_agreement)
    return (
        "*" if row.best else "",
        row.name,
        row.format,
        row.scheme,
        bytes_text(row.bytes),
        f"{row.bits_per_weight:.3f}",
        "" if perplexity is None else figure(perplexity),
        "" if row.kl is None else figure(row.kl),
        "" if same is None else f"{100 * same:.2f}%",
        "" if row.relative_error is None else percent(row.relative_error),
    )


def _save(found: ResultTable, path: Path) -> None:
    from qtquant_app.core.results import COLUMNS, csv_rows

    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(COLUMNS)
            for values in csv_rows(found):
                out.writerow([spreadsheet(value) if isinstance(value, str) else value for value in values])
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}", hint="choose another file") from None
