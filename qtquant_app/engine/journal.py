"""The journal of a run: what is safely on disk, one JSON object a line, appended only after the bytes it speaks of are.

Each line ends in a checksum of itself. A power cut may leave the last lines torn, so the journal is what comes before the first
line that is not whole: what the others spoke of is done again.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any, BinaryIO

from qtquant_app.core.errors import PlanError, WriteError
from qtquant_app.core.foreign_files import open_bounded
from qtquant_app.core.json_reader import outlined
from qtquant_app.core.report import ErrorSums
from qtquant_app.engine import filesystem
from qtquant_app.engine.faults import naming
from qtquant_app.engine.index_file import MOST_FILES
from qtquant_app.engine.run_marks import RunMarks, who_and_when

NAME = "journal.jsonl"
VERSION = 2
_WITHOUT_CHECKSUMS = (1,)
_LONGEST = 1 << 30
"""Bytes; a hundred thousand tensors take 30 million."""
_LONGEST_LINE = 16 << 20
"""Bytes; the first line names every weight file, and holds the recipe."""

_CHECK = b', "crc": "'


@dataclass
class Past:
    """What an earlier, unfinished run left behind."""

    marks: RunMarks
    tensors: dict[str, ErrorSums | None] = field(default_factory=dict)
    """Finished source tensors; None for those kept as they are."""
    shards: dict[str, str] = field(default_factory=dict)
    """Finished weight files and their sha256."""
    verified: dict[str, str] = field(default_factory=dict)
    """Tensors that were compared with a source that may be gone since, and how: `full` or `quick`."""
    nbytes: int = 0
    """How much of the journal is whole."""
    lost: int = 0
    """Bytes after that, which say nothing."""

    def is_verified(self, tensor: str, how: str) -> bool:
        """Whether `tensor` need not be compared any more, where a run verifies as `how` says."""
        return how == "none" or self.verified.get(tensor) in ("full", how)


class Journal:
    """Appends to `folder/journal.jsonl`. Each call returns with the line on disk.

    Raises WriteError naming the journal, code "disk-full" where there is no room. What could not be said has then left no
    trace, and can be said again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._handle: int | None = None
        self._size = 0

    def empty(self) -> None:
        """Forgets all it said, so that the files it spoke of can go."""
        with naming(self._path):
            self._cut(0)

    def start(self, marks: RunMarks) -> None:
        """Begins a new journal."""
        self.empty()
        self._append([{"kind": "start", "version": VERSION, **who_and_when(), "marks": marks.to_json()}])

    def resume(self, nbytes: int, marks: RunMarks) -> None:
        """Goes on with the journal that is there, of which `nbytes` are whole."""
        with naming(self._path):
            self._cut(nbytes)
        made_with = {"device": marks.device, "versions": dict(marks.versions)}
        self._append([{"kind": "resume", **who_and_when(), **made_with}])

    def tensors_done(self, errors: Iterable[tuple[str, ErrorSums | None]]) -> None:
        """These tensors are in their files, synced."""
        self._append([{"kind": "tensor", "name": name, "errors": sums and asdict(sums)} for name, sums in errors])

    def shard_done(self, file: str, sha256: str) -> None:
        """This weight file is complete and synced."""
        self._append([{"kind": "shard", "file": file, "sha256": sha256}])

    def verified(self, tensors: Iterable[str], how: str) -> None:
        """These tensors were read back and compared with their source, wholly (`full`) or in part (`quick`)."""
        self._append([{"kind": "verified", "name": name, "how": how} for name in tensors])

    def undone(self, tensors: Iterable[tuple[str, Sequence[str]]]) -> None:
        """These tensors are not what was written, nor then are the files they lie in: they are to be done again."""
        self._append([{"kind": "undone", "name": name, "files": list(files)} for name, files in tensors])

    def close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            filesystem.close(handle)

    def _cut(self, size: int) -> None:
        if self._handle is None:
            self._handle = filesystem.open_for_writing(self._path, create=True, append=True)
        filesystem.truncate(self._handle, size)
        filesystem.fsync(self._handle)
        self._size = size

    def _append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        data = b"".join(map(_line, entries))
        if self._handle is None or not data:
            return
        with naming(self._path):
            try:
                view = memoryview(data)
                while view:
                    view = view[filesystem.write(self._handle, view) :]
                filesystem.fsync(self._handle)
            except OSError:
                filesystem.truncate(self._handle, self._size)
                raise
        self._size += len(data)


def read_journal(folder: Path, names: Collection[str] | None = None) -> Past | None:
    """What the journal in `folder` says; None where the run had not yet said what it is.

    `names` are the tensors that it can speak of, where they are known: a line about another says nothing.

    Raises WriteError where there is no journal, PlanError where another version of QtQuant wrote it.
    """
    path = folder / NAME
    try:
        with open_bounded(path, _LONGEST) as stream:
            past = _said(stream, path, names)
            if past is None:
                stream.seek(0)
                _refuse_foreign(stream.readline(_LONGEST_LINE), path)
    except OSError as error:
        raise WriteError(
            f"{path} cannot be read: {error.strerror}",
            hint="there is no run to go on with: start again with --overwrite",
            code="journal",
        ) from None
    return past


def _said(stream: BinaryIO, path: Path, names: Collection[str] | None) -> Past | None:
    """What the lines say up to the first that is not whole, read one at a time."""
    past: Past | None = None
    at = 0
    while entry := _entry(line := stream.readline(_LONGEST_LINE)):
        try:
            if names is not None and entry["kind"] in ("tensor", "verified") and entry["name"] not in names:
                break
            past = _apply(past, entry, path)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            break
        at += len(line)
    if past is not None:
        past.nbytes, past.lost = at, os.fstat(stream.fileno()).st_size - at
    return past


def who_writes(folder: Path) -> Mapping[str, Any]:
    """The process that last began or resumed the run in `folder`: its `pid`, `host`, and when it `began`; empty where unknown."""
    try:
        with open_bounded(folder / NAME, _LONGEST) as stream:
            entries = (_entry(line) for line in _lines(stream) if b'"pid"' in line)
            found = deque((e for e in entries if e and "began" in e and "host" in e), 1)
    except OSError:
        return {}
    return found[0] if found else {}


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    return iter(partial(stream.readline, _LONGEST_LINE), b"")


def _line(entry: Mapping[str, Any]) -> bytes:
    body = dumps(entry).encode()
    return b'%s%s%08x"}\n' % (body[:-1], _CHECK, zlib.crc32(body))


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is not whole."""
    at = line.rfind(_CHECK)
    if at < 0 or line[at + len(_CHECK) :] != b'%08x"}\n' % zlib.crc32(b"}", zlib.crc32(memoryview(line)[:at])):
        return None
    try:
        entry = outlined(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _apply(past: Past | None, entry: Mapping[str, Any], path: Path) -> Past:
    if past is None:
        if entry["kind"] != "start":
            raise ValueError("not a journal")
        if entry["version"] != VERSION:
            raise _other_version(path)
        return Past(RunMarks.from_json(entry["marks"]))
    if entry["kind"] == "tensor":
        past.tensors[str(entry["name"])] = None if entry["errors"] is None else ErrorSums.from_json(entry["errors"])
    elif entry["kind"] == "shard":
        past.shards[str(entry["file"])] = str(entry["sha256"])
        if len(past.shards) > MOST_FILES:
            raise ValueError("no result has so many files")
    elif entry["kind"] == "verified":
        past.verified[str(entry["name"])] = str(entry["how"])
    elif entry["kind"] == "undone":
        past.tensors.pop(str(entry["name"]), None)
        past.verified.pop(str(entry["name"]), None)
        for file in entry["files"]:
            past.shards.pop(str(file), None)
    return past


def _refuse_foreign(line: bytes, path: Path) -> None:
    """Versions before this one wrote no checksums. A line of this one stays one, wherever it is damaged: it has its checksum, or
    its version."""
    try:
        first = outlined(line)
    except ValueError:
        return
    if not isinstance(first, dict) or first.get("kind") != "start":
        return
    if first.get("version") in _WITHOUT_CHECKSUMS and "crc" not in first:
        raise _other_version(path)


def _other_version(path: Path) -> PlanError:
    return PlanError(
        f"{path} was written by another version of QtQuant",
        hint="go on with that version, or start again with --overwrite",
        code="other-version",
    )
