"""Puts an evaluation into a result's record. Nothing else of the record changes, to the byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtquant_app.core.errors import VerifyError, WriteError
from qtquant_app.core.evaluated import MOST
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.json_reader import JsonReader
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.output import RECORD
from qtquant_app.engine.whole_file import write_file

KEY = "evaluations"
_MAX_BYTES = 500_000_000
_LONGEST = 1 << 20
"""Bytes of one evaluation that is kept."""
_SETTINGS = ("text", "kind", "windows", "seqlen", "activations", "samples_sha256")
"""What two evaluations have in common where the newer replaces the older."""


def record_evaluation(folder: Path, found: Evaluation) -> None:
    """Adds `found` to those in the record of the result in `folder`, the newest last; one of the same samples goes.

    Raises VerifyError where the record cannot be read, WriteError where it cannot be written: it is then as it was.
    """
    file = folder / RECORD
    try:
        written = with_evaluation(read_bounded(file, _MAX_BYTES), found.measured())
    except (OSError, ValueError) as error:
        raise VerifyError(f"{file} cannot be read: {error}", code="record") from None
    try:
        write_file(file, written)
    except OSError as error:
        raise WriteError(
            f"{file} cannot be written: {error.strerror}",
            hint="evaluate with --no-record, or make the folder writable",
        ) from None


def with_evaluation(record: bytes, measured: Mapping[str, Any]) -> bytes:
    """The JSON of a record with one more evaluation. Raises ValueError where it is no JSON object."""
    reader = JsonReader(record)
    data = reader.data
    start = reader.data.find(b"{")
    before, span = b"", None
    older: list[Any] = []
    empty = True
    for key in reader.members():
        at, empty = reader.at, False
        if key == KEY:
            older, span = _older(reader), (at, reader.at)
        else:
            reader.skip()
    reader.end()
    kept = [one for one in older if not _alike(one, measured)]
    value = _text([*kept, measured][-MOST:])
    if span is not None:
        return data[: span[0]] + value + data[span[1] :]
    before = data[: start + 1]
    return before + b'\n "' + KEY.encode() + b'": ' + value + (b"" if empty else b",") + data[start + 1 :]


def _older(reader: JsonReader) -> list[Any]:
    """Those that are there; what is no list of objects goes."""
    if reader.kind != b"[":
        reader.skip()
        return []
    found = [reader.value(_LONGEST) for _ in reader.items()]
    return [one for one in found if isinstance(one, dict)]


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in _SETTINGS)


def _text(evaluations: Sequence[Mapping[str, Any]]) -> bytes:
    lines = json.dumps(evaluations, indent=1, ensure_ascii=False).split("\n")
    return "\n ".join(lines).encode()
