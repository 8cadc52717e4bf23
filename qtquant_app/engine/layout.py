"""Lays the output files out to the byte before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from json.encoder import encode_basestring_ascii

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import OutFile, OutTensor, Role
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.safetensors_header import build_header
from qtquant_app.formats.base import Format, Stored

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Decision:
    """One source tensor and the scheme it gets; None keeps it as it is."""

    tensor: TensorInfo
    scheme: Scheme | None

    def stored(self, format: Format) -> tuple[Stored, ...]:
        """The tensors on disk that come of it; none where it is an alias of another."""
        if self.tensor.tied_to is not None:
            return ()
        if self.scheme is None:
            return format.kept(self.tensor)
        return format.stored(self.tensor, self.scheme)


def alike(decisions: Iterable[Decision]) -> list[tuple[Decision, int]]:
    """One decision of each kind, and how many there are of it: tensors of one dtype and shape take the same under one scheme.

    A mixture of experts has tens of thousands of tensors, and no more than a dozen kinds.
    """
    first: dict[Hashable, Decision] = {}
    counts: dict[Hashable, int] = {}
    for decision in decisions:
        kind = kind_of(decision)
        if kind in counts:
            counts[kind] += 1
        else:
            first[kind], counts[kind] = decision, 1
    return [(decision, counts[kind]) for kind, decision in first.items()]


def kind_of(decision: Decision) -> Hashable:
    """What `alike` tells decisions apart by. Schemes that are equal and not the same object make two kinds, for speed."""
    tensor = decision.tensor
    return tensor.dtype, tensor.shape, id(decision.scheme)


def lay_out(decisions: Sequence[Decision], format: Format) -> tuple[OutFile, ...]:
    """One output file for each source file that leaves anything, so that shards can be fetched and dropped one by one; a stack is
    in the file of its first part.

    Raises PlanError where two of the tensors in them would have one name.
    """
    by_file: dict[str, list[Entry]] = {}
    homes: dict[str, str] = {}
    for decision in decisions:
        tensor, parts = decision.tensor, decision.stored(format)
        if parts:
            slice_ = format.stack(tensor) if decision.scheme is not None else None
            file = tensor.file if slice_ is None else homes.setdefault(parts[0].name, tensor.file)
            entries = by_file.setdefault(file, [])
            entries += [(stored, tensor.name, slice_) for stored in parts]
    _check_names(by_file.values())
    names = shard_names(len(by_file))
    return tuple(_file(name, by_file[file], format) for name, file in zip(names, sorted(by_file), strict=True))


Entry = tuple[Stored, str, int | None]
"""A stored tensor, its source, and which part of a stack it is, where it is of one."""


def _check_names(files: Iterable[Sequence[Entry]]) -> None:
    seen: set[tuple[str, int | None]] = set()
    for entries in files:
        before = len(seen)
        seen.update([(stored.name, slice_) for stored, _, slice_ in entries])
        if len(seen) - before < len(entries):
            raise _written_twice([entry for entries in files for entry in entries])


def _written_twice(entries: Sequence[Entry]) -> PlanError:
    ((name, part), _), *_ = Counter((stored.name, slice_) for stored, _, slice_ in entries).most_common(1)
    first, second, *_ = [source for stored, source, slice_ in entries if (stored.name, slice_) == (name, part)]
    return PlanError(
        f"{first} and {second} would both be written as {name}",
        hint=f"leave one as it is, with --ignore {second.rpartition('.')[0]}, or choose another --format",
        code="names",
    )


def shard_names(count: int) -> list[str]:
    """The names transformers gives: `model.safetensors`, or `model-00001-of-00002.safetensors` and so on."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]


def _file(name: str, entries: Sequence[Entry], format: Format) -> OutFile:
    """Wider elements first, as the safetensors package orders them: every tensor is then aligned without padding."""
    ordered = sorted(_stacks_together(entries), key=lambda entry: -ITEM_BITS[entry[0].dtype])
    sized = [(stored, source, stored.nbytes) for stored, source, _ in ordered]
    at = header = len(header_of([stored for stored, _, _ in ordered], format.header_metadata))
    tensors = []
    for (title, dtype, shape, role, axis), source, size in sized:
        tensors.append(OutTensor(title, dtype, shape, at, size, source, role, axis))
        at += size
    return OutFile(name, header, at, tuple(tensors))


def _stacks_together(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The parts of each stack in order, where the first of them came."""
    if all(slice_ is None for _, _, slice_ in entries):
        return entries
    first: dict[str, int] = {}
    for at, (stored, _, _) in enumerate(entries):
        first.setdefault(stored.name, at)
    return sorted(entries, key=lambda entry: (first[entry[0].name], entry[2] or 0))


def header_of(tensors: Iterable[Stored | OutTensor], metadata: Mapping[str, str]) -> bytes:
    return build_header(_whole(tensors), metadata)


def _whole(parts: Iterable[Stored | OutTensor]) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    """Name, dtype, shape and bytes of each tensor; parts of a stack, which follow each other, are one."""
    for name, group in groupby(parts, key=lambda part: part.name):
        own = list(group)
        shape = own[0].shape
        if len(own) > 1:
            shape = (sum(part.shape[0] for part in own), *shape[1:])
        yield name, own[0].dtype, shape, sum(part.nbytes for part in own)


def index_text(files: Sequence[OutFile]) -> str:
    """The index that transformers reads beside several weight files."""
    weight_map = {tensor.name: file.name for file in files for tensor in file.tensors}
    total = sum(tensor.nbytes for file in files for tensor in file.tensors)
    # What json.dumps writes with indent=2; that goes through Python for each of what may be hundreds of thousands of names.
    quoted = {file.name: encode_basestring_ascii(file.name) for file in files}
    lines = [f"    {encode_basestring_ascii(name)}: {quoted[weight_map[name]]}" for name in sorted(weight_map)]
    entries = ",\n".join(lines)
    return f'{{\n  "metadata": {{\n    "total_size": {total}\n  }},\n  "weight_map": {{\n{entries}\n  }}\n}}\n'


def by_source(files: Iterable[OutFile]) -> dict[str, dict[Role, tuple[OutFile, OutTensor]]]:
    """Where the parts of each source tensor go."""
    places: dict[str, dict[Role, tuple[OutFile, OutTensor]]] = {}
    for file in files:
        for tensor in file.tensors:
            if tensor.source:
                places.setdefault(tensor.source, {})[tensor.role] = (file, tensor)
    return places
