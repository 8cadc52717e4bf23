"""The journal of a run: what is safely on disk, one JSON object a line, appended only after the bytes it speaks of are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qtquant_app.core.errors import WriteError
from qtquant_app.core.report import ErrorSums

NAME = "journal.jsonl"
VERSION = 1


@dataclass
class Past:
    """What an earlier, unfinished run left behind."""

    digest: str
    tensors: dict[str, ErrorSums | None] = field(default_factory=dict)
    """Finished source tensors; None for those kept as they are."""
    shards: dict[str, str] = field(default_factory=dict)
    """Finished weight files and their sha256."""


class Journal:
    """Appends to `folder/journal.jsonl`. Each call returns with the line on disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._handle: int | None = None

    def start(self, digest: str) -> None:
        """Begins a new journal for the plan with this digest."""
        self._open(os.O_CREAT | os.O_TRUNC)
        self._append([{"kind": "start", "version": VERSION, "digest": digest}])

    def resume(self) -> None:
        """Goes on with the journal that is there, less a last line that a crash cut short."""
        data = self._path.read_bytes()
        self._open(0)
        assert self._handle is not None
        os.ftruncate(self._handle, data.rfind(b"\n") + 1)

    def tensors_done(self, errors: Iterable[tuple[str, ErrorSums | None]]) -> None:
        """These tensors are in their files, synced."""
        self._append([{"kind": "tensor", "name": name, "errors": sums and asdict(sums)} for name, sums in errors])

    def shard_done(self, file: str, sha256: str) -> None:
        """This weight file is complete and synced."""
        self._append([{"kind": "shard", "file": file, "sha256": sha256}])

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self, flags: int) -> None:
        self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | flags | getattr(os, "O_BINARY", 0), 0o644)

    def _append(self, entries: list[dict[str, Any]]) -> None:
        if self._handle is None or not entries:
            return
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        os.write(self._handle, text.encode())
        os.fsync(self._handle)


def read_journal(folder: Path) -> Past:
    """What the journal in `folder` says. Raises WriteError where there is none or it is not one of ours."""
    try:
        data = (folder / NAME).read_bytes()
    except OSError:
        raise WriteError(
            f"{folder} has no journal to resume from", hint="remove the folder and start again", code="journal"
        ) from None
    past: Past | None = None
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            entry = json.loads(line)
            past = _apply(past, entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise WriteError(
                f"line {number} of {folder / NAME} is damaged", hint="remove the folder and start again", code="journal"
            ) from None
    return past if past is not None else Past(digest="")


def _apply(past: Past | None, entry: dict[str, Any]) -> Past:
    if past is None:
        if entry["kind"] != "start" or entry["version"] != VERSION:
            raise ValueError("not a journal")
        return Past(str(entry["digest"]))
    if entry["kind"] == "tensor":
        errors = entry["errors"]
        past.tensors[entry["name"]] = None if errors is None else ErrorSums(**errors)
    elif entry["kind"] == "shard":
        past.shards[entry["file"]] = entry["sha256"]
    return past
