"""Reopens what was written, decodes it, and holds it against its source and against what the run reported."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import QtQuantError, SourceError, VerifyError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged, Verified, Warned
from qtquant_app.core.folding import Folding
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import shown
from qtquant_app.core.plan import OutFile, Plan, TensorPlan
from qtquant_app.core.recipe import NonFinitePolicy
from qtquant_app.core.report import ErrorSums, Mismatch, TensorReport, VerifyReport
from qtquant_app.engine import placed
from qtquant_app.engine.commit import sha256_of
from qtquant_app.engine.containers import container_of
from qtquant_app.engine.experts.splitting import as_planned
from qtquant_app.engine.folded import with_foldings
from qtquant_app.engine.foreign_files import portable, stays_inside
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.output import RECORD, leftovers
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.reader import RangeReader
from qtquant_app.engine.record import read_record
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.tensor_work import Places, kept_bytes, located, on_finite
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.engine.written import read_rows
from qtquant_app.formats import Format, find
from qtquant_app.formats.base import Bytes
from qtquant_app.quant.chunk import Raw, RowErrors
from qtquant_app.quant.totals import ErrorTotals

_BLOCK = 1 << 16

_SAME = 1e-9
"""Relative difference below which two sums of the same squares, added in another order, are the same."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A plan's tensors by name: where they lie in the result, and what they are to be."""

    places: Mapping[str, Places]
    planned: Mapping[str, TensorPlan]

    @classmethod
    def of(cls, plan: Plan) -> Tables:
        return cls(by_source(plan.files), {t.name: t for t in plan.tensors})


def compare_with_source(
    tools: Tools,
    folder: Path,
    plan: Plan,
    errors: Mapping[str, ErrorSums],
    *,
    quick: bool = False,
    tensors: Sequence[TensorInfo] | None = None,
) -> Generator[Event, None, None]:
    """Compares every tensor in `folder`, or `tensors`, with the source that `tools` reads; `quick` reads one chunk of each.

    Raises MismatchError where a file's header is not what was planned, or at the end where tensors do not decode to what the run
    reported.
    """
    wrong = tuple(check_headers(folder, plan.files, tools.format))
    if wrong:
        raise MismatchError(wrong)
    wanted = _sources(tools) if tensors is None else tensors
    yield from compare_tensors(tools, folder, plan, errors, wanted, quick=quick, tables=Tables.of(plan))


def compare_tensors(
    tools: Tools,
    folder: Path,
    plan: Plan,
    errors: Mapping[str, ErrorSums],
    tensors: Sequence[TensorInfo],
    *,
    quick: bool,
    tables: Tables,
) -> Generator[Event, None, None]:
    """Compares `tensors` in `folder` with the source that `tools` reads, as `compare_with_source`, and no headers."""
    wrong: tuple[Mismatch, ...] = ()
    for item in _compared(tools, folder, plan, errors, tensors, tables, quick):
        if isinstance(item, Mismatch):
            wrong += (item,)
        else:
            yield item
    if wrong:
        raise MismatchError(wrong)


class MismatchError(VerifyError):
    """What a run has written is not what it meant to write: `where` names the files or the tensors."""

    def __init__(self, found: tuple[Mismatch, ...]) -> None:
        self.where = tuple(dict.fromkeys(mismatch.where for mismatch in found))
        more = f" (the first of {len(self.where)})" if len(self.where) > 1 else ""
        hint = "the drive may be failing: start again with --overwrite"
        super().__init__(f"{found[0].where} {found[0].text}{more}", hint=hint, code="mismatch")


def check_headers(folder: Path, files: tuple[OutFile, ...], format: Format) -> Iterator[Mismatch]:
    """Holds the headers on disk against the plan's table."""
    container = container_of(format)
    for file in files:
        if not stays_inside(folder, file.name):
            yield Mismatch(file.name, "is a link that leads outside the folder")
            continue
        try:
            there = container.table(folder, file.name)
        except SourceError as error:
            yield Mismatch(file.name, error.message.removeprefix(file.name).strip())
            continue
        if sorted(there) != sorted(container.planned(file)):
            yield Mismatch(file.name, "does not hold the tensors that were planned")


def _compared(
    tools: Tools,
    folder: Path,
    plan: Plan,
    errors: Mapping[str, ErrorSums],
    tensors: Sequence[TensorInfo],
    tables: Tables,
    quick: bool,
) -> Iterator[Event | Mismatch]:
    """The comparison of those of `tensors` that are in the result, as events, and what differs."""
    places, planned = tables.places, tables.planned
    sources = [tensor for tensor in tensors if tensor.name in places]
    with RangeReader(folder) as written:
        tasks = _comparisons(tools, written, sources, places, planned, quick, plan.recipe.nonfinite)
        totals: ErrorTotals | None = None
        wrong = ""
        for tensor, nbytes, last, rows in ordered(tools.pool, tools.window, tasks):
            yield ChunkDone(tensor.name, nbytes)
            yield from tools.warnings()
            if isinstance(rows, RowErrors):
                totals = totals or ErrorTotals(tensor.shape[1])
                totals.add(rows)
            elif rows:
                wrong = tensor.name
                yield Mismatch(wrong, rows)
            if last and totals:
                if tensor.name != wrong:
                    yield from _judge(planned[tensor.name], totals.sums(), errors.get(tensor.name), quick)
                totals = None


def _sources(tools: Tools) -> tuple[TensorInfo, ...]:
    return tools.reader.checkpoint.tensors


Comparison = tuple[TensorInfo, int, bool, RowErrors | str]
"""A chunk's tensor, its source bytes, whether it is the tensor's last, and its errors or what is wrong with it."""


def _comparisons(
    tools: Tools,
    written: RangeReader,
    sources: list[TensorInfo],
    places: Mapping[str, Places],
    planned: Mapping[str, TensorPlan],
    quick: bool,
    policy: NonFinitePolicy,
) -> Iterator[Callable[[], Comparison]]:
    for tensor in sources:
        scheme = planned[tensor.name].scheme
        if scheme is None and tools.format.row_positions(tensor) is not None:
            for start, stop in list(tools.spans(tensor))[: 1 if quick else None]:
                yield partial(_compare_kept_rows, tools, written, tensor, places[tensor.name], start, stop)
            continue
        if scheme is None:
            spans = list(tools.byte_spans(tensor))[: 1 if quick else None]
            for start, stop in spans:
                yield partial(_compare_bytes, tools, written, tensor, places[tensor.name], start, stop)
            continue
        spans = list(tools.spans(tensor, scheme))[: 1 if quick else None]
        for start, stop in spans:
            yield partial(
                _compare_rows,
                tools,
                written,
                planned[tensor.name],
                tensor,
                places[tensor.name],
                start,
                stop,
                (start, stop) == spans[-1],
                policy,
            )


def _compare_bytes(
    tools: Tools, written: RangeReader, tensor: TensorInfo, places: Places, start: int, stop: int
) -> Comparison:
    file, kept = places["kept"]
    source = tools.reader.bytes_of(tensor, start, stop)
    first = kept_bytes(kept, tensor, start)
    found = written.read(file.name, kept.offset + first, kept_bytes(kept, tensor, stop) - first)
    same = _alike(tools.format.encode_kept(tensor, source), found)
    return tensor, stop - start, stop == tensor.nbytes, "" if same else "is not what it was"


def _compare_kept_rows(
    tools: Tools, written: RangeReader, tensor: TensorInfo, places: Places, start: int, stop: int
) -> Comparison:
    file, kept = places["kept"]
    row, at = tensor.nbytes // tensor.shape[0], tools.format.row_positions(tensor)
    source = tools.reader.bytes_of(tensor, start * row, stop * row)
    found = placed.read_rows(written, file.name, kept, tensor.shape[0], start, stop, at)
    same = _alike(tools.format.encode_kept(tensor, source), found.reshape(-1))
    return tensor, (stop - start) * row, stop == tensor.shape[0], "" if same else "is not what it was"


def _alike(source: Bytes, found: Bytes) -> bool:
    """Whether two chunks are the same, a block at a time: what comparing them leaves is as long as what is compared."""
    blocks = range(0, len(source), _BLOCK)
    return all(np.array_equal(source[at : at + _BLOCK], found[at : at + _BLOCK]) for at in blocks)


def _compare_rows(
    tools: Tools,
    written: RangeReader,
    plan: TensorPlan,
    tensor: TensorInfo,
    places: Places,
    start: int,
    stop: int,
    last: bool,
    policy: NonFinitePolicy,
) -> Comparison:
    scheme = plan.scheme
    assert scheme is not None
    with located(tensor, start):
        try:
            chunk = read_rows(tools, written, tensor, plan, places, start, stop)
        except VerifyError as error:
            nbytes = tensor.nbytes // tensor.shape[0] * (stop - start)
            return tensor, nbytes, last, error.message.removeprefix(tensor.name).lstrip(": ")
        raw = tools.reader.rows(tensor, start, stop)

        def compared(rows: Raw) -> RowErrors:
            return tools.backend.compare(rows, tensor.dtype, chunk, scheme)

        errors, repaired = on_finite(raw, tensor.dtype, policy, compared)
    return tensor, raw.nbytes, last, replace(errors, repaired=repaired) if repaired else errors


def _judge(plan: TensorPlan, found: ErrorSums, reported: ErrorSums | None, quick: bool) -> Iterator[Event | Mismatch]:
    assert plan.scheme is not None
    if reported is not None and not (_within(found, reported) if quick else _equal(found, reported)):
        text = (
            f"decodes to a relative error of {found.relative_error:.6g}, not the {reported.relative_error:.6g} reported"
        )
        yield Mismatch(plan.name, text)
    yield Verified(TensorReport(plan.name, plan.scheme, plan.bytes, reported if quick and reported else found))


def _equal(found: ErrorSums, reported: ErrorSums) -> bool:
    return (
        found.weights == reported.weights
        and found.repaired == reported.repaired
        and found.max_error == reported.max_error
        and isclose(found.square_error, reported.square_error, rel_tol=_SAME)
        and isclose(found.square_weight, reported.square_weight, rel_tol=_SAME)
    )


def _within(found: ErrorSums, reported: ErrorSums) -> bool:
    """A part's errors cannot exceed the whole's."""
    return found.max_error <= reported.max_error and found.square_error <= reported.square_error * (1 + _SAME)


def verify(folder: str | Path, base: str | Path | None = None) -> Generator[Event, None, VerifyReport]:
    """Reopens a finished result: hashes, headers, scales, and against `base`, where given, every weight.

    What differs is in the report. Raises VerifyError where `folder` is no result of ours, SourceError where `base` cannot be read.
    """
    root = Path(folder)
    record = read_record(root)
    plan = _recorded_plan(record, root)
    checkpoint = with_foldings(base_of(plan, base), foldings_of(record, root)) if base is not None else None
    read = sum(file.nbytes for file in plan.files)
    yield RunStarted(len(plan.tensors), read + (plan.source_bytes if checkpoint else 0))
    yield StageChanged("verify")
    for name in leftovers(root):
        yield Warned("leftover", f"{root / name} is left over from the run and belongs to nothing: it can be deleted")
    found: list[Mismatch] = []
    digests, errors = _recorded(record, root)
    for name, digest in sorted(digests.items()):
        found += _check_hash(root, name, digest)
        yield ChunkDone(name, next((file.nbytes for file in plan.files if file.name == name), 0))
    found += check_headers(root, plan.files, find(plan.format))
    found += _strangers(root, plan)
    reports: list[TensorReport] = []
    if checkpoint is not None and not found:
        for item in _against(plan, checkpoint, root, errors):
            if isinstance(item, Mismatch):
                found.append(item)
                continue
            if isinstance(item, Verified):
                reports.append(item.report)
            yield item
    return VerifyReport(len(plan.files), sum(len(f.tensors) for f in plan.files), tuple(found), tuple(reports))


def foldings_of(record: Mapping[str, Any], root: Path) -> dict[str, Folding]:
    """What calibration has folded, by tensor."""
    found = record.get("foldings", {})
    try:
        return {str(name): Folding.from_json(item) for name, item in found.items()}
    except (ValueError, AttributeError) as error:
        raise VerifyError(f"{root / RECORD} holds a damaged folding: {error}", code="record") from None


def result_plan(folder: Path) -> Plan:
    """The plan that the result in `folder` was made by. Raises VerifyError where it is no result of ours."""
    return _recorded_plan(read_record(folder), folder)


def _recorded_plan(record: Mapping[str, Any], root: Path) -> Plan:
    blank: dict[str, Any] = {
        "texts": {},
        "max_memory": None,
        "peak_ram_bytes": 0,
        "peak_device_bytes": 0,
        "seconds_estimate": 0.0,
    }
    try:
        plan = Plan.from_json({**blank, **record["plan"], "device": "cpu"})
    except (ValueError, QtQuantError) as error:
        raise VerifyError(f"{root / RECORD} holds a damaged plan: {error}", code="record") from None
    for file in plan.files:
        why = portable(file.name)
        if why is not None:
            raise VerifyError(f"{root / RECORD} names the file {shown(file.name)}, which {why}", code="record")
    return plan


def _recorded(record: Mapping[str, Any], root: Path) -> tuple[dict[str, str], dict[str, ErrorSums]]:
    """The hashes and the errors that the record states, these as far as a comparison needs them."""
    read = Fields({"sha256": {}, "tensors": [], **record})
    try:
        tensors = ((Fields(item), item) for item in read.items("tensors"))
        errors = {fields.text("name"): ErrorSums.from_json(item["sums"]) for fields, item in tensors if "sums" in item}
        return read.texts("sha256"), errors
    except ValueError as error:
        raise VerifyError(f"{root / RECORD} is damaged: {error}", code="record") from None


def _check_hash(root: Path, name: str, digest: str) -> list[Mismatch]:
    if portable(name) is not None or not stays_inside(root, name):
        return [Mismatch(name, "is outside the folder")]
    try:
        return [] if sha256_of(root / name) == digest else [Mismatch(name, "has changed: its sha256 differs")]
    except OSError as error:
        return [Mismatch(name, f"cannot be read: {error.strerror}")]


def _strangers(root: Path, plan: Plan) -> list[Mismatch]:
    known = {file.name for file in plan.files}
    there = sorted(path.name for path in root.glob(f"*{container_of(find(plan.format)).suffix}"))
    return [Mismatch(name, "is a weight file that the run did not write") for name in there if name not in known]


def base_of(plan: Plan, base: str | Path) -> Checkpoint:
    """The checkpoint at `base`. Raises VerifyError where a result of `plan` was not made from it."""
    checkpoint = as_planned(open_checkpoint(base), (tensor.name for tensor in plan.tensors))
    for tensor in plan.tensors:
        there = checkpoint.by_name.get(tensor.name)
        if there is None or there.shape != tensor.shape or there.dtype != tensor.dtype:
            raise VerifyError(
                f"{base} is not what this was made from: {tensor.name} is missing there or has another shape",
                hint="give the original checkpoint with --base",
                code="other-base",
            )
    return checkpoint


def _against(
    plan: Plan, checkpoint: Checkpoint, root: Path, errors: Mapping[str, ErrorSums]
) -> Iterator[Event | Mismatch]:
    with open_tools(checkpoint, find(plan.format), "cpu") as tools:
        yield from _compared(tools, root, plan, errors, _sources(tools), Tables.of(plan), quick=False)
