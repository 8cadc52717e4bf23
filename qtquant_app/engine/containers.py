"""The containers that weight files can be: safetensors shards beside a config, or one GGUF file that says all itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.core.plan import OutFile, OutTensor, TensorPlan
from qtquant_app.engine.layout import INDEX, Decision, header_of, index_text, lay_out
from qtquant_app.engine.safetensors_header import read_header
from qtquant_app.formats.base import Format, Stored

Entry = tuple[str, str, tuple[int, ...], int]
"""A tensor in a file's table: name, dtype, shape, and offset in the file."""

GGUF_FILE = "model.gguf"
_LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


class Container(Protocol):
    """How the files of a format are laid out, headed and read back. `format` is bound to the checkpoint."""

    suffix: ClassVar[str]

    def lay_out(self, decisions: Sequence[Decision], format: Format) -> tuple[OutFile, ...]:
        """Every weight file to the byte. Raises PlanError where two tensors would have one name."""

    def header(self, file: OutFile, format: Format) -> bytes:
        """The first bytes of `file`, as long as its `header_bytes`."""

    def table(self, folder: Path, file: str) -> list[Entry]:
        """The tensors of a file that was written. Raises SourceError naming it."""

    def planned(self, file: OutFile) -> list[Entry]:
        """What `table` finds where all is well."""

    def texts(
        self, checkpoint: Checkpoint, format: Format, tensors: Sequence[TensorPlan], files: Sequence[OutFile]
    ) -> dict[str, str]:
        """Small files that are written whole: name to content."""

    def carried(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Files of the checkpoint that go along as they are."""


def container_of(format: Format) -> Container:
    """The container of the files of `format`."""
    return _CONTAINERS[format.container]


class Safetensors:
    """Shards as those of the source, an index where there are several, and config.json."""

    suffix: ClassVar[str] = ".safetensors"

    def lay_out(self, decisions: Sequence[Decision], format: Format) -> tuple[OutFile, ...]:
        return lay_out(decisions, format)

    def header(self, file: OutFile, format: Format) -> bytes:
        return header_of(file.tensors, format.header_metadata)

    def table(self, folder: Path, file: str) -> list[Entry]:
        return [(t.name, t.dtype, t.shape, t.offset) for t in read_header(folder, file)[0]]

    def planned(self, file: OutFile) -> list[Entry]:
        return _whole(file)

    def texts(
        self, checkpoint: Checkpoint, format: Format, tensors: Sequence[TensorPlan], files: Sequence[OutFile]
    ) -> dict[str, str]:
        config = {k: v for k, v in checkpoint.config.items() if k not in ("quantization_config", "quantization")}
        config |= format.config_entries(checkpoint, tensors)
        texts = {"config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n"}
        if len(files) > 1:
            texts[INDEX] = index_text(files)
        return texts | format.more_texts(checkpoint, tensors)

    def carried(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        return checkpoint.carried_files


class Gguf:
    """One file, whose header holds the vocabulary and all else that a reader wants to know."""

    suffix: ClassVar[str] = ".gguf"

    def lay_out(self, decisions: Sequence[Decision], format: Format) -> tuple[OutFile, ...]:
        from qtquant_app.formats.gguf.container import build_header, padded

        parts: dict[str, list[tuple[int | None, Stored, str]]] = {}
        for decision in decisions:
            for stored in decision.stored(format):
                slice_ = format.stack(decision.tensor)
                parts.setdefault(stored.name, []).append((slice_, stored, decision.tensor.name))
        for found in parts.values():
            found.sort(key=lambda part: part[0] or 0)
        made = format.made()
        table = [(name, found[0][1].dtype, _stacked([s for _, s, _ in found])) for name, found in parts.items()]
        table += [(name, dtype, shape) for name, (dtype, shape, _) in made.items()]
        header, described = build_header(format.metadata(table), table)
        tensors: list[OutTensor] = []
        at = len(header)
        for place in described.tensors:
            at = place.offset
            for _, stored, source in parts.get(place.name, []):
                tensors.append(OutTensor(*stored[:3], at, stored.nbytes, source, stored.role, stored.axis))
                at += stored.nbytes
            if place.name in made:
                tensors.append(OutTensor(place.name, place.type.name, place.shape, at, place.nbytes, "", "made"))
                at += place.nbytes
        digest = hashlib.sha256(header).hexdigest()
        return (OutFile(GGUF_FILE, len(header), padded(at), tuple(tensors), digest),)

    def header(self, file: OutFile, format: Format) -> bytes:
        from qtquant_app.formats.gguf.container import build_header

        table = [entry[:3] for entry in self.planned(file)]
        header, _ = build_header(format.metadata(table), table)
        if hashlib.sha256(header).hexdigest() != file.header_sha256:
            raise SourceError(
                "the config or the tokenizer of the checkpoint has changed since the plan was made",
                hint="make the plan again",
                code="source-changed",
            )
        return header

    def table(self, folder: Path, file: str) -> list[Entry]:
        from qtquant_app.formats.gguf.container import parse_gguf_header

        path = folder / file
        try:
            with path.open("rb") as stream:
                header = parse_gguf_header(partial(_read_at, stream), path.stat().st_size)
        except ValueError as error:
            raise SourceError(f"{file} {error}", hint="fetch it again", code="gguf") from None
        except OSError as error:
            raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the disk", code="read") from None
        return [(t.name, t.type.name, t.shape, t.offset) for t in header.tensors]

    def planned(self, file: OutFile) -> list[Entry]:
        return _whole(file)

    def texts(
        self, checkpoint: Checkpoint, format: Format, tensors: Sequence[TensorPlan], files: Sequence[OutFile]
    ) -> dict[str, str]:
        return {}

    def carried(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        return tuple(
            name
            for name in checkpoint.carried_files
            if any(fnmatchcase(name.upper(), pattern.upper()) for pattern in _LICENCES)
        )


def _whole(file: OutFile) -> list[Entry]:
    """The tensors of a file. Parts of a stack follow each other: they have one name."""
    parts: dict[str, list[OutTensor]] = {}
    for tensor in file.tensors:
        parts.setdefault(tensor.name, []).append(tensor)
    return [
        (name, found[0].dtype, found[0].shape if len(found) == 1 else _stacked(found), found[0].offset)
        for name, found in parts.items()
    ]


def _stacked(parts: Sequence[Stored | OutTensor]) -> tuple[int, ...]:
    """The shape of a tensor made of `parts`, one after the other along the first dimension."""
    first, *others = parts[0].shape
    return (first * len(parts), *others)


def _read_at(stream: BinaryIO, offset: int, nbytes: int) -> bytes:
    stream.seek(offset)
    return stream.read(nbytes)


_CONTAINERS: Mapping[str, Container] = {"safetensors": Safetensors(), "gguf": Gguf()}
