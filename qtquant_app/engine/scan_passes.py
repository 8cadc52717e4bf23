"""The pieces of work of a scan: a first pass over each tensor for its hash and its moments, a second for outliers and errors.

The first pass of the next tensors runs while the second pass of this one does, so that no thread waits at a tensor's end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce

from qtquant_app.core.errors import SourceError
from qtquant_app.core.matrix import Matrix
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.scan_cache import Known, scheme_key
from qtquant_app.engine.scan_subject import Subject
from qtquant_app.engine.tensor_work import fixed_for, located
from qtquant_app.engine.tools import Tools
from qtquant_app.quant.chunk import Fixed, RowErrors
from qtquant_app.quant.kernels.moments import Moments, outside


@dataclass(frozen=True, slots=True)
class Step:
    """A chunk is through; with `last`, its tensor is complete."""

    subject: Subject
    bytes: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class _Survey:
    """What the first pass finds in a chunk."""

    nbytes: int
    digest: bytes
    moments: Moments


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a second pass is for."""

    schemes: tuple[Scheme, ...]
    fixed: dict[Scheme, Fixed]
    moments: Moments | None
    """Of the whole tensor, where its outliers are to be counted."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the second pass finds in a chunk: errors by scheme, or the sentence that says why there are none."""

    bytes: int
    outliers: int
    errors: dict[Scheme, RowErrors | str]


Look = Callable[[Subject, bytes], None]
"""Takes a tensor whose content hash is now known, and fills in what an earlier scan found out about it."""


def steps(tools: Tools, subjects: Sequence[Subject], look: Look) -> Generator[Step, None, None]:
    """Works through `subjects`, in order. Their `known` grows; each is complete with its last step."""
    tasks = _tasks(tools, subjects, look)
    measured: list[_Measured] = []
    wanted: _Wanted | None = None
    results = ordered(tools.pool, tools.window, tasks)
    for result in results:
        if isinstance(result, Step):
            if result.last and wanted is not None:
                _conclude(result.subject, wanted, measured)
                measured, wanted = [], None
            yield result
            continue
        subject, wanted, part = result
        measured.append(part)
        yield Step(subject, part.bytes)


def _tasks(
    tools: Tools, subjects: Sequence[Subject], look: Look
) -> Iterator[Callable[[], Step | tuple[Subject, _Wanted, _Measured]]]:
    unseen = [subject for subject in subjects if subject.known is None]
    surveys = ordered(tools.pool, tools.window, (task for s in unseen for task in _survey_tasks(tools, s)))
    for subject in subjects:
        moments = None
        if subject.known is None:
            parts = []
            for matrix in subject.matrices():
                of_matrix = []
                for _ in tools.spans(matrix):
                    of_matrix.append(next(surveys))
                    # Handed through the pool, so that the work can be watched and stopped at every chunk.
                    yield partial(Step, subject, of_matrix[-1].nbytes)
                parts.append(of_matrix)
            moments = _moments([[survey.moments for survey in of_matrix] for of_matrix in parts])
            look(subject, hashlib.sha256(b"".join(s.digest for group in parts for s in group)).digest())
        if subject.known is not None and not subject.missing:
            # An earlier scan knew this content from elsewhere: no second pass.
            yield partial(Step, subject, subject.tensor.nbytes)
        else:
            wanted = _wanted(tools, subject, moments if subject.known is None else None)
            for matrix in subject.matrices():
                blocks = next((scheme for scheme in wanted.schemes if scheme.row_block > 1), None)
                for start, stop in tools.spans(matrix, blocks):
                    yield partial(_measure, tools, subject, matrix, wanted, start, stop)
        yield partial(Step, subject, 0, last=True)


def _survey_tasks(tools: Tools, subject: Subject) -> Iterator[Callable[[], _Survey]]:
    for matrix in subject.matrices():
        for start, stop in tools.spans(matrix):
            yield partial(_survey, tools, matrix, start, stop)


def _survey(tools: Tools, matrix: Matrix, start: int, stop: int) -> _Survey:
    raw = tools.reader.rows(matrix, start, stop)
    nbytes = matrix.row_bytes * (stop - start)
    return _Survey(nbytes, hashlib.sha256(raw.data).digest(), Moments.of(raw, matrix.dtype))


def _moments(parts: Sequence[Sequence[Moments]]) -> Moments:
    return reduce(Moments.and_matrix, (reduce(Moments.and_rows, rows) for rows in parts))


def _wanted(tools: Tools, subject: Subject, moments: Moments | None) -> _Wanted:
    if moments is not None and moments.non_finite:
        return _Wanted((), {}, moments)
    fixed = {}
    for scheme in subject.missing:
        if scheme.needs_extremes:
            try:
                fixed[scheme] = _fixed(tools, subject, scheme, moments)
            except SourceError as error:
                subject.refusals[scheme] = error.message
    schemes = tuple(scheme for scheme in subject.missing if scheme not in subject.refusals)
    return _Wanted(schemes, fixed, moments)


def _fixed(tools: Tools, subject: Subject, scheme: Scheme, moments: Moments | None) -> Fixed:
    """What serves a whole tensor, from its extremes: its own alone, also where a run looks at those of its mates as well."""
    if moments is not None:
        low, high = moments.low, moments.high
    elif subject.known is not None:
        low, high = subject.known.stats.minimum, subject.known.stats.maximum
    else:
        raise ValueError(f"{subject.tensor.name} has not been looked at")
    return fixed_for(tools, subject.tensor, scheme, (low, high))


def _measure(
    tools: Tools, subject: Subject, matrix: Matrix, wanted: _Wanted, start: int, stop: int
) -> tuple[Subject, _Wanted, _Measured]:
    raw = tools.reader.rows(matrix, start, stop)
    outliers = 0 if wanted.moments is None else outside(raw, matrix.dtype, *wanted.moments.outlying)
    errors: dict[Scheme, RowErrors | str] = {}
    for scheme in wanted.schemes:
        try:
            with located(matrix, start):
                fixed = wanted.fixed.get(scheme)
                errors[scheme] = tools.quantized(raw, matrix, scheme, fixed).errors
        except SourceError as error:
            errors[scheme] = error.message
    return subject, wanted, _Measured(matrix.row_bytes * (stop - start), outliers, errors)


def _conclude(subject: Subject, wanted: _Wanted, measured: Sequence[_Measured]) -> None:
    """Puts the chunks of a tensor together."""
    if wanted.moments is not None:
        subject.known = Known(wanted.moments.stats(sum(part.outliers for part in measured)))
    if subject.known is None:
        raise ValueError(f"{subject.tensor.name} has no statistics")
    for scheme in wanted.schemes:
        found = _sums(scheme, subject.tensor.shape[-1], measured)
        if isinstance(found, str):
            subject.refusals[scheme] = found
        else:
            subject.known.sums[scheme_key(scheme)] = found


def _sums(scheme: Scheme, columns: int, measured: Sequence[_Measured]) -> ErrorSums | str:
    rows = []
    for part in measured:
        errors = part.errors[scheme]
        if isinstance(errors, str):
            return errors
        rows.append(errors)
    return RowErrors.concat(rows).sums(columns)
