"""Lays the output files out to the byte before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS
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
            return (Stored(self.tensor.name, self.tensor.dtype, self.tensor.shape, "kept"),)
        return format.stored(self.tensor, self.scheme)


def lay_out(decisions: Sequence[Decision], format: Format) -> tuple[OutFile, ...]:
    """One output file for each source file that leaves anything, so that shards can be fetched and dropped one by one."""
    by_file: dict[str, list[tuple[Stored, str]]] = {}
    for decision in decisions:
        for stored in decision.stored(format):
            by_file.setdefault(decision.tensor.file, []).append((stored, decision.tensor.name))
    names = shard_names(len(by_file))
    return tuple(_file(name, by_file[file], format) for name, file in zip(names, sorted(by_file), strict=True))


def shard_names(count: int) -> list[str]:
    """The names transformers gives: `model.safetensors`, or `model-00001-of-00002.safetensors` and so on."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]


def _file(name: str, entries: Iterable[tuple[Stored, str]], format: Format) -> OutFile:
    """Wider elements first, as the safetensors package orders them: every tensor is then aligned without padding."""
    ordered = sorted(entries, key=lambda entry: -ITEM_BITS[entry[0].dtype])
    header = len(header_of([stored for stored, _ in ordered], format.header_metadata))
    tensors, at = [], header
    for stored, source in ordered:
        tensors.append(OutTensor(stored.name, stored.dtype, stored.shape, at, stored.nbytes, source, stored.role))
        at += stored.nbytes
    return OutFile(name, header, at, tuple(tensors))


def header_of(tensors: Iterable[Stored | OutTensor], metadata: Mapping[str, str]) -> bytes:
    return build_header(((t.name, t.dtype, t.shape, t.nbytes) for t in tensors), metadata)


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
            places.setdefault(tensor.source, {})[tensor.role] = (file, tensor)
    return places
