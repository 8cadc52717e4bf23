"""The tables of the page: schemes, flagged tensors, and all tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtquant_app.core.quantities import bytes_text, decibels, figure, percent, plural, shape_text
from qtquant_app.core.scan import ScanReport, TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.report.html import Markup, element, joined, table

MOST = 2000
"""Rows of the table of all tensors; the CSV of a scan has them all."""


def totals_table(scan: ScanReport) -> Markup:
    """Schemes and what they come to."""
    titles = ("Scheme", "Worst tensor", "Tensors", "Size", "Bits per weight", "SQNR", "Relative error", "Max error")
    rows = [
        (
            total.scheme.label,
            total.worst,
            (f"{total.tensors:,}", total.tensors),
            (bytes_text(total.bytes), total.bytes),
            (f"{total.bits_per_weight:.3f}", total.bits_per_weight),
            (decibels(total.errors.sqnr_db), total.errors.sqnr_db),
            (percent(total.errors.relative_error), total.errors.relative_error),
            (figure(total.errors.max_error), total.errors.max_error),
        )
        for total in scan.totals
    ]
    if not rows:
        return element("p", "No tensor of this checkpoint could be quantized under these schemes.")
    return table(titles, rows, 2, class_="sorted")


def flagged_table(scan: ScanReport) -> Markup:
    """Tensors that are odd, and in what way."""
    flagged = [tensor for tensor in scan.tensors if tensor.flags]
    if not flagged:
        return element("p", "Nothing is odd: no NaN, no dead channel, no constant group, no extreme outlier.")
    titles = ("Tensor", "What is odd", "Shape", "Smallest", "Largest", "NaN or infinite", "Dead rows", "Dead columns")
    rows = [
        (
            tensor.name,
            ", ".join(tensor.flags),
            shape_text(tensor.shape),
            *((figure(value), value) for value in (tensor.stats.minimum, tensor.stats.maximum)),
            *((f"{n:,}", n) for n in (tensor.stats.non_finite, tensor.stats.dead_rows, tensor.stats.dead_columns)),
        )
        for tensor in flagged[:MOST]
    ]
    return joined([table(titles, rows, 3, class_="sorted"), _more(len(flagged))])


def all_tensors(scan: ScanReport) -> Markup:
    """Every tensor, or as many as a page bears."""
    titles = ("Tensor", "Kind", "Type", "Shape", "Size", "Smallest", "Largest", "Std", "Kurtosis", "Outliers")
    schemes = tuple(total.scheme for total in scan.totals)
    rows = (tuple(_tensor_row(tensor, schemes)) for tensor in scan.tensors[:MOST])
    labels = tuple(f"{scheme.label}, dB" for scheme in schemes)
    return joined([table((*titles, *labels, "Flags"), rows, 4, class_="sorted"), _more(len(scan.tensors))])


def _tensor_row(tensor: TensorScan, schemes: Sequence[Scheme]) -> Iterator[object]:
    stats = tensor.stats
    yield from (tensor.name, tensor.kind.value, tensor.dtype, shape_text(tensor.shape))
    yield bytes_text(tensor.bytes), tensor.bytes
    for value in (stats.minimum, stats.maximum, stats.std, stats.kurtosis):
        yield figure(value), value
    yield f"{stats.outliers:,}", stats.outliers
    for scheme in schemes:
        report = tensor.report(scheme)
        yield None if report is None else (decibels(report.errors.sqnr_db).removesuffix(" dB"), report.errors.sqnr_db)
    yield ", ".join(tensor.flags)


def _more(count: int) -> Markup:
    if count <= MOST:
        return Markup("")
    words = f"And {plural(count - MOST, 'more tensor')}: "
    return element("p", words, element("code", "qtquant scan MODEL --csv FILE"), " has them all.")
