"""Holds a quantized checkpoint, whoever made it, against the one it was made from: `qtquant audit OTHER --base MODEL`."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.audit import AuditedTensor, AuditReport, ranked
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged, Warned
from qtquant_app.core.matrix import Matrix
from qtquant_app.core.packed import Note
from qtquant_app.engine.auditing.findings import (
    CHANGED,
    Audited,
    absences,
    coverage,
    disagreements,
    merged,
    nothing_quantized,
    numbers,
    words_of,
)
from qtquant_app.engine.auditing.measure import Floats, Pieces, judged, sums_of
from qtquant_app.engine.auditing.pairs import Matched, Pair, matched
from qtquant_app.engine.packed.layout import layout_of
from qtquant_app.engine.packed.modules import Told, told_by
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.reader import TILE, TensorReader
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats import find
from qtquant_app.quant.chunk import as_float32

_FORMAT = "compressed-tensors"
"""Whose tools read; nothing is written."""


def audit(other: Checkpoint, base: Checkpoint, *, threads: int | None = None) -> Generator[Event, None, AuditReport]:
    """Every tensor of `other` beside that of `base`: errors, scales that do not fit, what was skipped, what the config gets wrong.

    Yields RunStarted (its bytes are those of the base), a ChunkDone for each chunk, and Warned for a tensor that cannot be
    compared. Closing it ends the work within a chunk; nothing is written. What is wrong with the file is in the report. Raises
    SourceError where a file cannot be read or `base` is quantized itself.
    """
    if base.packed_by:
        raise SourceError(
            f"{base.label} is quantized itself ({base.packed_by})",
            hint="give the float checkpoint with --base",
            code="quantized-base",
        )
    told, together = told_by(other.config), matched(other, base)
    yield RunStarted(len(together.pairs), sum(pair.base.nbytes for pair in together.pairs))
    yield StageChanged("check")
    audited: list[Audited] = []
    with open_tools(base, find(_FORMAT), "cpu", threads) as tools, TensorReader(other) as reader:
        for pair in together.pairs:
            try:
                audited.append((yield from _audited(tools, reader, pair)))
            except PlanError as error:
                yield Warned("not-compared", error.message)
    return _report(other, base, together, audited, told)


def _report(other: Checkpoint, base: Checkpoint, together: Matched, audited: list[Audited], told: Told) -> AuditReport:
    method = words_of(told, other)
    tensors = tuple(one.tensor for one in audited)
    found = [finding for one in audited for finding in numbers(one)]
    found += disagreements(audited)
    found += coverage(audited, told)
    found += absences(together, other)
    found += nothing_quantized(tensors, other, method)
    return AuditReport(
        other=other.label,
        base=base.label,
        method=method,
        tensors=tensors,
        findings=ranked(merged(found)),
        missing=together.missing,
        extra=together.extra,
    )


def _audited(tools: Tools, reader: TensorReader, pair: Pair) -> Generator[Event, None, Audited]:
    packed, pieces = pair.other.packed, Pieces()
    quantized = packed is not None and bool(packed.method)
    notes: tuple[Note, ...] = ()
    order, size = None, None
    if packed is not None:
        layout, size = layout_of(packed), packed.group_size
        order = layout.order(reader, packed)
        notes = (*packed.notes, *layout.examine(reader, packed, pair.other.shape[-1]))
    for ours, theirs in pair.matrices():
        spans = tools.spans(ours)
        work = (partial(_measured, tools, reader, ours, theirs, size, order, *span) for span in spans)
        for part, nbytes in ordered(tools.pool, tools.window, work):
            pieces.add(part)
            yield ChunkDone(pair.base.name, nbytes)
    measured = judged(pieces, quantized=quantized, rounded_scales=packed is not None and packed.layout == "gguf")
    changed = measured.errors.relative_error > CHANGED
    tensor = AuditedTensor(
        name=pair.base.name,
        other_name=pair.other.name,
        kind=pair.base.kind.value,
        shape=pair.base.shape,
        state="quantized" if quantized else "changed" if changed else "kept",
        layout=pair.other.dtype if packed is None else packed.label,
        bytes=pair.bytes,
        errors=measured.errors,
        non_finite=measured.non_finite,
        groups=measured.groups if quantized else 0,
        groups_off=measured.count_off + measured.count_zeros,
        scale_factor=measured.factor,
        rescaled_error=measured.rescaled_error,
    )
    return Audited(pair, tensor, measured, notes)


def _measured(
    tools: Tools,
    reader: TensorReader,
    ours: Matrix,
    theirs: Matrix,
    size: int | None,
    order: NDArray[np.int64] | None,
    start: int,
    stop: int,
) -> tuple[Pieces, int]:
    """The sums over rows `start` to `stop`, a few rows at a time."""
    base = tools.reader.rows(ours, start, stop)
    found = reader.rows(theirs, start, stop)
    pieces, step = Pieces(), max(1, TILE // ours.columns)
    with np.errstate(invalid="ignore", over="ignore"):
        for at in range(0, stop - start, step):
            values = _floats(found[at : at + step], theirs.dtype)
            pieces.add(sums_of(_floats(base[at : at + step], ours.dtype), values, size, order))
    return pieces, base.nbytes


def _floats(raw: NDArray[np.generic], dtype: str) -> Floats:
    return as_float32(np.ascontiguousarray(raw), dtype)
