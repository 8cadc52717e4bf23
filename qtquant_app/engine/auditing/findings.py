"""What was measured, and where files and config disagree, as ranked sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log2

from qtquant_app.core.audit import AuditedTensor, Finding, Severity
from qtquant_app.core.checkpoint import Checkpoint, Kind
from qtquant_app.core.packed import Note
from qtquant_app.core.quantities import figure, percent, plural
from qtquant_app.engine.auditing.config import says_quantized
from qtquant_app.engine.auditing.measure import OCTAVES_WRONG, Measured, Off
from qtquant_app.engine.auditing.pairs import Matched, Pair
from qtquant_app.engine.packed.modules import Told
from qtquant_app.engine.packed.unpacked import unread

CHANGED = 2.0**-7
"""Relative error from which what is kept in float is another tensor, and not one in another dtype."""

_USUAL = 2.4
"""Relative error times 2^bits of plain round-to-nearest with groups of 128, at most; measured on language models."""
_FAR = 4.0
_LOST = 0.9
_LINEAR = (Kind.LINEAR, Kind.EXPERT)


@dataclass(frozen=True, slots=True)
class Audited:
    """A pair, what was measured of it, and what its small tensors say."""

    pair: Pair
    tensor: AuditedTensor
    measured: Measured
    notes: tuple[Note, ...]


def numbers(audited: Audited) -> Iterator[Finding]:
    """What is odd in the numbers of one tensor."""
    tensor, measured = audited.tensor, audited.measured
    if tensor.non_finite:
        text = f"{tensor.name} decodes to {plural(tensor.non_finite, 'weight')} of NaN or infinity"
        yield _one(tensor, "non-finite", "wrong", text, 4.0)
    if tensor.state != "quantized":
        if tensor.state == "changed":
            error = percent(tensor.errors.relative_error)
            yield _one(
                tensor,
                "changed",
                "suspect",
                f"{tensor.name} is kept in {tensor.layout}, and is {error} away from the base",
            )
        return
    if measured.count_zeros:
        yield _one(tensor, "zero-scale", "wrong", _zeros(tensor, measured), 3.0)
    if measured.scaled:
        text = f"{tensor.name}: all its scales are {figure(measured.factor)} times those that its codes and the base call for"
        yield _one(tensor, "tensor-scale", "wrong", text, 3.0)
    if measured.count_off:
        far = abs(log2(measured.off[0].factor)) > OCTAVES_WRONG
        weight = 2.0 + measured.count_off / measured.groups
        yield _one(tensor, "scale", "wrong" if far else "suspect", _off(tensor, measured), weight)
    if measured.rescaled:
        low, high = measured.rescaled_range
        left = percent(measured.rescaled_error or 0.0)
        text = (
            f"{tensor.name}: its {measured.rescaled} are scaled against the base, by {figure(low)} to {figure(high)}, as AWQ and "
            f"SmoothQuant do to spread errors; scaled back it is {left} off"
        )
        yield _one(tensor, "rescaled", "note", text)
    yield from _large(audited)


def _large(audited: Audited) -> Iterator[Finding]:
    """An error that the bits do not explain, where nothing else does."""
    tensor, measured, packed = audited.tensor, audited.measured, audited.pair.other.packed
    if packed is None or measured.rescaled or measured.count_off or measured.count_zeros or measured.scaled:
        return
    bits = packed.bits if packed.type == "int" or packed.bits < 8 else 5  # E4M3 has four bits of precision
    error, usual = tensor.errors.relative_error, _USUAL / 2**bits
    if error > _LOST and usual * _FAR < 2:
        text = (
            f"{tensor.name} is another weight than the base's: {percent(error)} off, cosine {tensor.errors.cosine:.3f}"
        )
        yield _one(tensor, "other-weight", "wrong", text, 2.5)
    elif error > min(_FAR * usual, _LOST):
        text = f"{tensor.name} is {percent(error)} off, where {packed.bits} bits usually leave at most {percent(usual)}"
        yield _one(tensor, "error", "suspect", text, error)


def _off(tensor: AuditedTensor, measured: Measured) -> str:
    worst, count = measured.off[0], measured.count_off
    what = "group has a scale" if count == 1 else "groups have scales"
    first = "" if count == 1 else ", the worst"
    return (
        f"{tensor.name}: {count:,} {what}, of {measured.groups:,}, that codes and base do not call for{first} in {_place(worst)}: "
        f"{figure(worst.factor)} times what fits"
    )


def _zeros(tensor: AuditedTensor, measured: Measured) -> str:
    count = measured.count_zeros
    what = "group decodes" if count == 1 else "groups decode"
    first = "" if count == 1 else ", the worst"
    place = _place(measured.zeros[0])
    return (
        f"{tensor.name}: {count:,} {what} to zeros, of {measured.groups:,}, where the base has none{first} in {place}"
    )


def _place(off: Off) -> str:
    return f"row {off.row:,}, group {off.group:,}"


def disagreements(audited: Sequence[Audited]) -> Iterator[Finding]:
    """Where config and files say different things of a tensor; the same sentence about many tensors is one finding."""
    found: dict[Note, list[str]] = {}
    for one in audited:
        for note in one.notes:
            found.setdefault(note, []).append(one.tensor.name)
    for note, tensors in found.items():
        yield Finding(
            note.code, "wrong" if note.wrong else "suspect", f"{_all(tensors)}: {note.text}", tuple(tensors), 3.5
        )


def coverage(audited: Sequence[Audited], told: Told) -> Iterator[Finding]:
    """Linear layers kept in float, and modules that are quantized though the config has them not, or the reverse."""
    if not any(one.tensor.state == "quantized" for one in audited):
        return
    beside: dict[str, list[Audited]] = {}
    for one in audited:
        if one.pair.base.kind in (*_LINEAR, Kind.HEAD) and len(one.pair.base.shape) >= 2:
            beside.setdefault(_leaf(one), []).append(one)
    skipped: dict[tuple[str, bool | None], list[str]] = {}
    ignored: list[str] = []
    for leaf, ones in beside.items():
        for one in ones:
            said = says_quantized(told, one.pair.other.module)
            if one.tensor.state == "quantized":
                ignored += [one.tensor.name] if said is False else []
            elif one.pair.base.kind in _LINEAR or said:
                skipped.setdefault((leaf, said), []).append(one.tensor.name)
    for (leaf, said), names in skipped.items():
        yield _skipped(leaf, said, names, beside[leaf])
    if ignored:
        text = f"{_all(ignored)}: config.json has it in float, but the file holds codes"
        yield Finding("config-ignore", "wrong", text, tuple(ignored), 3.5)


def _skipped(leaf: str, said: bool | None, names: Sequence[str], ones: Sequence[Audited]) -> Finding:
    others = sum(one.tensor.state == "quantized" for one in ones)
    beside = f", while {others:,} other {leaf} {'is' if others == 1 else 'are'} quantized" if others else ""
    if said:
        text = f"{_all(names)}: kept in float{beside}, though config.json says it is quantized: a reader will look for codes"
        return Finding("skipped", "wrong", text, tuple(names), 3.0)
    why = " as config.json says" if said is False else ""
    return Finding(
        "skipped", "suspect", f"{_all(names)}: a linear layer kept in float{why}{beside}", tuple(names), len(names)
    )


def _leaf(one: Audited) -> str:
    return one.pair.base.module.rpartition(".")[2]


def absences(matched: Matched, other: Checkpoint) -> Iterator[Finding]:
    """What is missing, too many, of another shape, or stored in a way that cannot be read."""
    for pair in matched.differing:
        theirs, ours = list(pair.other.shape), list(pair.base.shape)
        yield Finding(
            "shape", "wrong", f"{pair.base.name} is {theirs}, and the base's is {ours}", (pair.base.name,), 5.0
        )
    if matched.missing:
        text = f"{_all(matched.missing)}: missing, though the base has it"
        yield Finding("missing", "wrong", text, matched.missing, 5.0)
    left = unread(other.tensors)
    if left:
        yield Finding("unreadable", "wrong", f"{_all(left)}: not stored in a way that is known here", left, 4.5)
    more = tuple(name for name in matched.extra if name not in left)
    if more:
        yield Finding("extra", "note", f"{_all(more)}: not in the base", more)


def nothing_quantized(tensors: Iterable[AuditedTensor], other: Checkpoint, method: str) -> Iterator[Finding]:
    """That a checkpoint holds floats alone."""
    if all(tensor.state != "quantized" for tensor in tensors):
        wrong: Severity = "wrong" if method else "suspect"
        said = f", though config.json says it is ({method})" if method else ""
        yield Finding("nothing", wrong, f"{other.label} has no quantized weight{said}", (), 6.0)


def _all(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"


def _one(tensor: AuditedTensor, code: str, severity: Severity, text: str, weight: float = 0.0) -> Finding:
    return Finding(code, severity, text, (tensor.name,), weight)


def merged(findings: Iterable[Finding], most: int = 20) -> list[Finding]:
    """The findings, those of a code of which there are more than `most` as one."""
    by_code: dict[tuple[str, Severity], list[Finding]] = {}
    for finding in findings:
        by_code.setdefault((finding.code, finding.severity), []).append(finding)
    found: list[Finding] = []
    for (code, severity), alike in by_code.items():
        if len(alike) <= most:
            found += alike
            continue
        alike.sort(key=lambda finding: -finding.weight)
        names = tuple(name for finding in alike for name in finding.tensors)
        found.append(
            Finding(code, severity, f"{alike[0].text}; and {len(alike) - 1:,} tensors like it", names, alike[0].weight)
        )
    return found


def words_of(told: Told, other: Checkpoint) -> str:
    """What quantized the checkpoint: as the config says, else as the files show."""
    return told.method or other.packed_by
