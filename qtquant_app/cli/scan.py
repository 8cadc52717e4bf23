"""`qtquant scan` and `qtquant report`: every tensor of a model under several schemes."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.errors import WriteError
from qtquant_app.core.escaping import spreadsheet
from qtquant_app.core.quantities import bytes_text, decibels, figure, percent, plural
from qtquant_app.core.report import finite
from qtquant_app.core.scan import DEFAULT_SCHEMES, ScanReport, TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label

_WORST = 10
_STATS = ("weights", "non_finite", "minimum", "maximum", "mean", "std", "kurtosis", "outliers", "zeros")
_DEAD = ("dead_rows", "dead_columns", "constant_groups")
_MEASURES = ("sqnr_db", "relative_error", "mse", "max_error", "cosine")


def scan(options: Namespace) -> int:
    """Scans the model and prints what stands out."""
    from qtquant_app.cli.opening import opened, say_reading
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.scan import scan as look

    checkpoint, schemes = opened(options), _schemes(options)
    say_reading(checkpoint)
    cache = not options.no_cache
    found = drive(look(checkpoint, schemes, format=options.format, device=options.device, cache=cache))
    if options.csv:
        _save(found, Path(options.csv))
    show.document(found.to_json()) if options.json else _show(found)
    return 0


def report(options: Namespace) -> int:
    """Scans the model and writes the page."""
    from qtquant_app.cli.opening import opened, say_reading
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.report import report as write

    checkpoint, schemes = opened(options), _schemes(options)
    say_reading(checkpoint)
    written = drive(
        write(
            checkpoint,
            Path(options.output),
            schemes,
            format=options.format,
            device=options.device,
            worst=options.worst,
            overwrite=options.overwrite,
            cache=not options.no_cache,
        )
    )
    facts = {"output": str(written), "bytes": written.stat().st_size}
    if options.json:
        show.document(facts)
    else:
        say(f"saved {printable(str(written))}, {bytes_text(written.stat().st_size)}: one page, open it in any browser")
    return 0


def _schemes(options: Namespace) -> tuple[Scheme, ...]:
    return tuple(parse_label(text) for text in options.scheme) or DEFAULT_SCHEMES


def _show(found: ScanReport) -> None:
    say(f"{printable(found.label)}: {plural(len(found.tensors), 'tensor')}, {found.cached} from the cache")
    totals = found.totals
    rows = [
        (
            total.scheme.label,
            plural(total.tensors, "tensor"),
            bytes_text(total.bytes),
            f"{total.bits_per_weight:.3f}",
            decibels(total.errors.sqnr_db),
            percent(total.errors.relative_error),
            total.worst,
        )
        for total in totals
    ]
    titles = ("scheme", "quantized", "size", "bits per weight", "SQNR", "relative error", "worst tensor")
    if rows:
        show.table([titles, *rows], right=(2, 3, 4, 5))
    _show_worst(found)
    flagged = [tensor for tensor in found.tensors if tensor.flags]
    say(f"\n{plural(len(flagged), 'tensor')} flagged{':' if flagged else ''}")
    if flagged:
        show.table([(tensor.name, ", ".join(tensor.flags), _range(tensor)) for tensor in flagged])


def _show_worst(found: ScanReport) -> None:
    if not found.totals:
        return
    lowest = min(found.totals, key=lambda total: total.errors.sqnr_db).scheme
    order = [report.name for report in found.worst(lowest)[:_WORST]]
    tensors = {tensor.name: tensor for tensor in found.tensors}
    titles = ("largest errors, SQNR", *(total.scheme.label for total in found.totals))
    rows = [(name, *(_decibels(tensors[name], total.scheme) for total in found.totals)) for name in order]
    say()
    show.table([titles, *rows], right=range(1, len(titles)))


def _decibels(tensor: TensorScan, scheme: Scheme) -> str:
    report = tensor.report(scheme)
    return decibels(report.errors.sqnr_db) if report else ""


def _range(tensor: TensorScan) -> str:
    return f"{figure(tensor.stats.minimum)} to {figure(tensor.stats.maximum)}, std {figure(tensor.stats.std)}"


def _save(found: ScanReport, path: Path) -> None:
    """A row for each tensor and scheme; one with statistics alone for a tensor without any. Raises WriteError."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            head = ("tensor", "kind", "dtype", "shape", "source_bytes", *_STATS, *_DEAD, "flags")
            out.writerow((*head, "scheme", "bytes", *_MEASURES, "skipped"))
            for tensor in found.tensors:
                out.writerows(_lines(tensor))
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}", hint="choose another file") from None


def _lines(tensor: TensorScan) -> Iterator[tuple[object, ...]]:
    stats = tensor.stats.to_json()
    numbers = [finite(stats[key]) if isinstance(stats[key], float) else stats[key] for key in (*_STATS, *_DEAD)]
    shape = "x".join(map(str, tensor.shape))
    head = (
        spreadsheet(tensor.name),
        tensor.kind.value,
        tensor.dtype,
        shape,
        tensor.bytes,
        *numbers,
        "; ".join(tensor.flags),
    )
    for report in tensor.reports:
        measures = report.errors.to_json()
        yield *head, report.scheme.label, report.bytes, *(measures[key] for key in _MEASURES), ""
    if not tensor.reports:
        yield *head, "", "", *("" for _ in _MEASURES), spreadsheet(tensor.skipped)
