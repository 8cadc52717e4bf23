"""Results as text for people."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from qtquant_app.cli.progress import printable
from qtquant_app.cli.progress import say as say
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.coverage import coverage_text, linear_coverage
from qtquant_app.core.escaping import json_text, shortened
from qtquant_app.core.outcome import outcomes
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import bytes_text, decibels, duration_text, figure, parameters_text, percent, plural
from qtquant_app.core.report import RunReport, TensorReport, VerifyReport

if TYPE_CHECKING:
    from qtquant_app.core.runtimes import Finding
    from qtquant_app.engine.mend_all import Mended
    from qtquant_app.engine.preview import Preview

_WORST = 5
_FRAMED = 74
"""Columns inside a frame."""
_WIDEST = 200
"""Characters of a cell: one name of ten thousand would make every row as long."""


def document(value: object) -> None:
    """One JSON document, written as it is made: those of large checkpoints would take more memory than a run."""
    for part in json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False).iterencode(value):
        sys.stdout.write(json_text(part))
    sys.stdout.write("\n")


def table(rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> None:
    """Columns aligned; those in `right` to the right."""
    cells = [[shortened(printable(str(cell)), _WIDEST) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    for row in cells:
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        say("  ".join(padded).rstrip())


def checkpoint(found: Checkpoint) -> None:
    dtypes = Counter(tensor.dtype for tensor in found.tensors)
    held = ", ".join(f"{plural(number, 'tensor')} of {dtype}" for dtype, number in dtypes.most_common())
    say(f"{printable(found.label)}: {printable(found.architecture) or 'unknown architecture'}")
    say(f"{parameters_text(found.parameters)} parameters, {bytes_text(found.nbytes)}; {held}")
    table(
        [("tensor", "kind", "shape", "dtype", "bytes")]
        + [(t.name, t.kind.value, "x".join(map(str, t.shape)), t.dtype, bytes_text(t.nbytes)) for t in found.tensors],
        right=(4,),
    )


def preview(found: Preview) -> None:
    from qtquant_app.quant.methods import find as find_method

    errors = found.errors
    table(
        [
            ("layer", found.layer),
            ("scheme", found.scheme.label),
            ("SQNR", decibels(errors.sqnr_db)),
            ("relative error", percent(errors.relative_error)),
            ("MSE", figure(errors.mse)),
            ("max error", figure(errors.max_error)),
            ("cosine", f"{errors.cosine:.6f}"),
            ("bits per weight", f"{found.bits_per_weight:.3f}"),
            ("size", bytes_text(found.bytes)),
        ]
    )
    note = find_method(found.scheme.method).preview_note()
    if note:
        say(note)


def plan(made: Plan, free: int | None = None) -> None:
    """What a plan says, the room on the drive beside what it takes."""
    quantized = len(made.quantized)
    say(f"{printable(made.label)} -> {made.format}, {made.recipe.default.label}")
    table(
        [
            ("quantized", f"{quantized} of {len(made.tensors)} tensors"),
            ("coverage", coverage_text(linear_coverage(made.tensors))),
            (
                "size",
                f"{bytes_text(made.source_bytes)} -> {bytes_text(made.output_bytes)} ({made.output_bytes:,} bytes exactly)",
            ),
            ("bits per weight", f"{made.bits_per_weight:.3f}"),
            ("files carried over", f"{len(made.copied)}, {bytes_text(made.copied_bytes)}"),
            (
                "disk",
                f"takes {bytes_text(made.disk_bytes)}" + ("" if free is None else f"; {bytes_text(free)} free here"),
            ),
            *_fetched(made),
            ("memory", f"{bytes_text(made.peak_ram_bytes)} RAM, {bytes_text(made.peak_device_bytes)} on {made.device}"),
            ("time", f"about {duration_text(made.seconds_estimate)}"),
        ]
    )
    for rule in made.rules:
        say(f"rule {printable(rule.pattern)}: {rule.matches} tensors, {bytes_text(rule.bytes)}")
    for warning in made.warnings:
        say(f"warning: {printable(warning.text)}")


def _fetched(made: Plan) -> list[tuple[str, str]]:
    """What comes over the network, where anything does."""
    if not made.download_bytes:
        return []
    room = f", of which {bytes_text(made.source_disk_bytes)} are here at once" if made.source_disk_bytes else ""
    return [("to fetch", f"{bytes_text(made.download_bytes)}{room}")]


def low_coverage(text: str) -> None:
    """That little of the model is quantized, framed, on stderr: the last thing to be seen. Nothing where `text` is empty."""
    if text:
        lines = wrap(f"WARNING: {printable(text)}", _FRAMED)
        edge = "!" * (_FRAMED + 6)
        say("\n".join([edge, *(f"!! {line:{_FRAMED}} !!" for line in lines), edge]), stream=sys.stderr)


def findings(found: Sequence[Finding], runtimes: Sequence[str]) -> None:
    """What the readers asked about make of a plan, the worst first."""
    for finding in found:
        version = f" ({finding.version})" if finding.version else ""
        about = f" ({_some(finding.tensors)})" if finding.tensors else ""
        say(f"{finding.severity}: {finding.reader}{version}: {printable(finding.text + about)}")
        if finding.mend is not None:
            say(f"  would help: {printable(finding.does)}")
    silent = [name for name in dict.fromkeys(runtimes) if name not in {finding.runtime for finding in found}]
    if silent:
        say(f"nothing to say against {', '.join(silent)}")


def mended(found: Mended) -> None:
    """What was mended, step by step, as it goes: on stderr, beside the result."""
    for step in found.steps:
        say(printable(f"mended for {step.reader}, {step.code}: {step.does}"), stream=sys.stderr)
    if not found.steps:
        say("nothing to mend", stream=sys.stderr)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def presets(rows: Sequence[Mapping[str, Any]]) -> None:
    """Each preset with what it costs and who loads it; below, for whom it is."""
    for row in rows:
        if row["available"]:
            bits = row["bits_per_weight"]
            table([(row["name"], row["title"], "" if bits is None else f"{bits:g} bits per weight")])
            for text in (row["for"], row["cost"], f"Loaded by {', '.join(row['readers'])}." if row["readers"] else ""):
                say(printable(f"  {text}")) if text else None
        else:
            say(printable(f"{row['name']} (not available: {row['reason']})"))


def report(done: RunReport) -> None:
    table(
        [
            ("saved", done.output),
            ("size", f"{bytes_text(done.output_bytes)}, {done.bits_per_weight:.3f} bits per weight"),
            ("quantized", f"{done.coverage.quantized} tensors, {done.coverage.kept} kept as they are"),
            ("coverage", coverage_text(done.coverage.parameters_quantized_percent)),
            ("time", f"{duration_text(done.seconds)}, {bytes_text(done.peak_ram_bytes)} RAM"),
            ("verified", "yes, every tensor reopened and compared" if done.verified else "no"),
            *_limits(done),
        ]
    )
    _outcome(done)
    _worst(done.tensors)


def _limits(done: RunReport) -> Iterator[tuple[str, str]]:
    """What the run kept to, and what it did for that; nothing where there is nothing to say."""
    if done.max_memory:
        yield (
            "ceiling",
            f"{bytes_text(done.max_memory)} RAM, {'kept' if done.peak_ram_bytes <= done.max_memory else 'passed'}",
        )
    if done.shortages.halved or done.shortages.on_cpu:
        halved, tensors = plural(done.shortages.halved, "chunk"), plural(len(done.shortages.on_cpu), "tensor")
        yield "device memory", f"ran out: {halved} halved, {tensors} worked on by the CPU"
    for name, count in done.repaired.items():
        yield "repaired", f"{printable(name)}: {plural(count, 'weight')} not finite, replaced"


def _outcome(done: RunReport) -> None:
    """What was predicted beside what happened."""
    lines = outcomes(done)
    if lines:
        rows = [(line.what, line.predicted_text, line.measured_text, line.difference_text) for line in lines]
        table([("", "predicted", "measured", "difference"), *rows], right=(1, 2, 3))


def _worst(tensors: Sequence[TensorReport]) -> None:
    ranked = sorted(tensors, key=lambda t: t.errors.sqnr_db)[:_WORST]
    rows = [(t.name, t.scheme.label, decibels(t.errors.sqnr_db), percent(t.errors.relative_error)) for t in ranked]
    say("largest errors:")
    table(rows, right=(2, 3))


def verification(found: VerifyReport) -> None:
    for mismatch in found.mismatches:
        say(f"{printable(mismatch.where)}: {printable(mismatch.text)}")
    compared = f", {len(found.compared)} compared with the base" if found.compared else ""
    say(f"{'ok' if found.ok else 'NOT ok'}: {found.files} weight files, {found.tensors} tensors{compared}")


def listing(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Some columns of a registry, and why a row is not available."""

    def cell(row: Mapping[str, Any], column: str) -> str:
        value = row[column]
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return text if row.get("available", True) or column != "name" else f"{text} (not available: {row['reason']})"

    table([tuple(columns), *(tuple(cell(row, column) for column in columns) for row in rows)])
