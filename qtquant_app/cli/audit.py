"""`qtquant audit`: a quantized checkpoint, whoever made it, beside the one it was made from."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections import Counter
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.quantities import decibels, figure, percent, plural

if TYPE_CHECKING:
    from qtquant_app.core.audit import AuditedTensor, AuditReport


def add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "other", metavar="OTHER", help="the quantized checkpoint: a folder, a file or a Hub id in the cache"
    )
    verb.add_argument("--base", required=True, metavar="MODEL", help="the float checkpoint that it was made from")
    verb.add_argument("--all", action="store_true", help="list tensors that are kept as they were, too")


def audit(options: Namespace) -> int:
    """Measures every tensor and prints what was found; 1 where something is wrong with the file."""
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.audit import audit as hold
    from qtquant_app.engine.source import open_checkpoint

    base = open_checkpoint(options.base)
    found = drive(hold(open_checkpoint(options.other), base))
    show.document(found.to_json()) if options.json else _show(found, every=options.all)
    return 0 if found.ok else 1


def _show(found: AuditReport, *, every: bool) -> None:
    method = printable(found.method) or "not quantized"
    say(f"{printable(found.other)} ({method}) beside {printable(found.base)}: {plural(len(found.tensors), 'tensor')}")
    if found.quantized:
        total = found.errors
        say(
            f"{len(found.quantized)} quantized, {found.bits_per_weight:.3f} bits per weight, SQNR {decibels(total.sqnr_db)}, "
            f"relative error {percent(total.relative_error)}"
        )
    rows = [tensor for tensor in found.tensors if every or tensor.state != "kept"]
    if rows:
        say()
        titles = ("tensor", "stored as", "bits per weight", "SQNR", "relative error", "max error", "scales off")
        show.table([titles, *map(_row, rows)], right=(2, 3, 4, 5, 6))
    counts = Counter(finding.severity for finding in found.findings)
    said = ", ".join(f"{number} {severity}" for severity, number in counts.items())
    say(f"\n{plural(len(found.findings), 'finding')}{f': {said}' if said else ''}")
    for finding in found.findings:
        say(f"{finding.severity}: {printable(finding.text)}")


def _row(tensor: AuditedTensor) -> tuple[object, ...]:
    errors = tensor.errors
    return (
        tensor.name,
        tensor.layout,
        f"{tensor.bits_per_weight:.3f}",
        decibels(errors.sqnr_db),
        percent(errors.relative_error),
        figure(errors.max_error),
        tensor.groups_off or "",
    )
