"""The journal of a run: what is safely on disk, one JSON object a line, appended only after the bytes it speaks of are.

Each line ends in a checksum of itself. A power cut may leave the last lines torn, so the journal is what comes before the first
line that is not whole: what the others spoke of is done again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

from qtquant_app.core.errors import PlanError, WriteError
from qtquant_app.core.json_text import parse_json
from qtquant_app.core.report import ErrorSums
from qtquant_app.engine import filesystem
from qtquant_app.engine.faults import naming
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.run_marks import RunMarks, who_and_when

NAME = "journal.jsonl"
VERSION = 2
_WITHOUT_CHECKSUMS = (1,)
_LONGEST = 1 << 30
"""Bytes; a hundred thousand tensors take 30 million."""

_CHECK = b', "crc": "'


@dataclass
class Past:
    """What an earlier, unfinished run left behind."""

    marks: RunMarks
    tensors: dict[str, ErrorSums | None] = field(default_factory=dict)
    """Finished source tensors; None for those kept as they are."""
    shards: dict[str, str] = field(default_factory=dict)
    """Finished weight files and their sha256."""
    nbytes: int = 0
    """How much of the journal is whole."""
    lost: int = 0
    """Bytes after that, which say nothing."""


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


def read_journal(folder: Path) -> Past | None:
    """What the journal in `folder` says; None where the run had not yet said what it is.

    Raises WriteError where there is no journal, PlanError where another version of QtQuant wrote it.
    """
    path = folder / NAME
    try:
        data = read_bounded(path, _LONGEST)
    except OSError as error:
        raise WriteError(
            f"{path} cannot be read: {error.strerror}",
            hint="there is no run to go on with: start again with --overwrite",
            code="journal",
        ) from None
    past: Past | None = None
    at = 0
    for line in data.splitlines(keepends=True):
        entry = _entry(line)
        if entry is None:
            break
        try:
            past = _apply(past, entry, path)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            break
        at += len(line)
    if past is None:
        _refuse_foreign(data, path)
        return None
    past.nbytes, past.lost = at, len(data) - at
    return past


def who_writes(folder: Path) -> Mapping[str, Any]:
    """The process that last began or resumed the run in `folder`: its `pid`, `host`, and when it `began`; empty where unknown."""
    try:
        lines = read_bounded(folder / NAME, _LONGEST).splitlines(keepends=True)
    except OSError:
        return {}
    entries = (_entry(line) for line in reversed(lines) if b'"pid"' in line)
    return next((entry for entry in entries if entry and "began" in entry and "host" in entry), {})


def _line(entry: Mapping[str, Any]) -> bytes:
    body = dumps(entry).encode()
    return b'%s%s%08x"}\n' % (body[:-1], _CHECK, zlib.crc32(body))


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is not whole."""
    body, check, crc = line.rpartition(_CHECK)
    body += b"}"
    if not check or crc != b'%08x"}\n' % zlib.crc32(body):
        return None
    try:
        entry = parse_json(body)
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
    return past


def _refuse_foreign(data: bytes, path: Path) -> None:
    """Versions before this one wrote no checksums. A line of this one stays one, wherever it is damaged: it has its checksum, or
    its version."""
    try:
        first = parse_json(data.partition(b"\n")[0])
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
