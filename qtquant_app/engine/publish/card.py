"""Makes a card out of a result's record and plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from math import prod
from typing import Any

from qtquant_app.core.card import Base, Card, RuntimeNote, SchemeShare
from qtquant_app.core.command_line import quantize_words
from qtquant_app.core.coverage import LOW_COVERAGE, linear_coverage
from qtquant_app.core.errors import UsageError, VerifyError
from qtquant_app.core.evaluated import evaluations_of
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.plan import Plan
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.runtime_table import COLUMNS, Cell, table
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_words import scheme_words
from qtquant_app.core.snippets import snippets
from qtquant_app.engine.output import RECORD
from qtquant_app.engine.runtime_table import read_data

WORST = 8
_LICENCES = ("licen", "notice", "copying", "use_policy")
_TOLD = frozenset({LOW_COVERAGE, "asymmetric"})
"""Warnings of a plan that whoever loads the result should know of."""
_STATES = {
    "run": "such a result was loaded and run",
    "source": "loads it by its source",
    "refused": "does not load it",
    "wrong": "loads it and computes something else",
}


def make_card(record: Mapping[str, Any], plan: Plan, base: Base, repo: str = "", picture: str = "") -> Card:
    """The card of a result, for `repo` where that is known. Raises VerifyError where the record is damaged."""
    try:
        return _made(Fields(record), record, plan, base, repo, picture)
    except (ValueError, OverflowError) as error:
        raise VerifyError(f"{RECORD} is damaged: {error}", code="record") from None


def _made(read: Fields, record: Mapping[str, Any], plan: Plan, base: Base, repo: str, picture: str) -> Card:
    reports = tuple(measured(read))
    kept = [tensor for tensor in plan.tensors if tensor.scheme is None]
    sha256 = read.texts("sha256")
    main = _shares(plan)
    symmetric = all(tensor.scheme.symmetric for tensor in plan.tensors if tensor.scheme is not None)
    return Card(
        repo=repo,
        base=base,
        format=plan.format,
        program=read.text_or("qtquant"),
        architecture=plan.architecture,
        shares=main,
        kept=len(kept),
        kept_bytes=sum(tensor.bytes for tensor in kept),
        coverage_percent=linear_coverage(plan.tensors),
        source_bytes=plan.source_bytes,
        output_bytes=plan.output_bytes,
        bits_per_weight=plan.bits_per_weight,
        errors=ErrorSums.added(report.errors for report in reports),
        worst=tuple(nsmallest(WORST, reports, key=lambda report: report.errors.sqnr_db)),
        evaluations=evaluations_of(record),
        snippets=snippets(plan.format, repo or "ORG/NAME", dequantize=not symmetric, hub=True),
        runtimes=_runtimes(plan.format, main[0].label) if main else (),
        recipe=plan.recipe,
        command=quantize_words(
            base.hub_id or base.name,
            f"{base.name.rpartition('/')[2]}-quantized",
            plan.recipe,
            repo or RECORD,
            calibration=plan.calibration,
        ),
        versions=_versions(record),
        seed=plan.seed,
        verified=read.text_or("verified", "none"),
        sha256=sha256,
        licence_files=tuple(name for name in sorted(sha256) if name.lower().startswith(_LICENCES)),
        picture=picture,
        warnings=tuple(warning.text for warning in plan.warnings if warning.code in _TOLD),
    )


def measured(read: Fields) -> Iterable[TensorReport]:
    """The reports of quantized tensors that a record holds. Raises ValueError where one makes no sense."""
    for item in read.items("tensors"):
        entry = Fields(item)
        yield TensorReport(
            entry.text("name"),
            Scheme.from_json(entry.any("scheme")),
            entry.count("bytes"),
            ErrorSums.from_json(entry.any("sums")),
        )


def _shares(plan: Plan) -> tuple[SchemeShare, ...]:
    counts: dict[Scheme, tuple[int, int, int]] = {}
    for tensor in plan.tensors:
        if tensor.scheme is not None:
            tensors, weights, nbytes = counts.get(tensor.scheme, (0, 0, 0))
            counts[tensor.scheme] = tensors + 1, weights + prod(tensor.shape), nbytes + tensor.bytes
    shares = [
        SchemeShare(scheme.label, scheme_words(scheme), scheme.bits, *numbers) for scheme, numbers in counts.items()
    ]
    return tuple(sorted(shares, key=lambda share: (-share.weights, share.label)))


def _runtimes(format: str, label: str) -> tuple[RuntimeNote, ...]:
    """What is known of the scheme of most weights in each runtime that reads the format."""
    try:
        (row,) = table({format: (label,)}, read_data()[1])
    except UsageError:  # a scheme of a later version
        return ()
    pairs = zip(COLUMNS, row.cells, strict=True)
    return tuple(_note(column.title, cell) for column, cell in pairs if cell.state != "none")


def _note(title: str, cell: Cell) -> RuntimeNote:
    return RuntimeNote(f"{title} {cell.version}".strip(), _STATES[cell.state], cell.text)


def _versions(record: Mapping[str, Any]) -> dict[str, str]:
    found = record.get("versions")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
