"""Opens a checkpoint: finds its weight files, reads their headers, and says what each tensor is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from qtquant_app.assets import resource
from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import parse_json, shown
from qtquant_app.engine.architecture import classify
from qtquant_app.engine.experts.splitting import split, stacks_of
from qtquant_app.engine.foreign_files import portable, read_bounded
from qtquant_app.engine.gguf_source import SUFFIX, read_model
from qtquant_app.engine.packed.unpacked import RECORD, unpacked
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.safetensors_header import Header, parse_header, read_header, read_header_bytes
from qtquant_app.engine.weight_files import INDEXES, PICKLES, Place, located

SAMPLE = "sample"

_CARRIED = (
    "*.json",
    "*.jinja",
    "*.model",
    "*.spm",
    "*.tiktoken",
    "*.py",
    "vocab*.txt",
    "merges.txt",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "USE_POLICY*",
)
_OWN = ("config.json", "qtquant.json", *INDEXES)
_MAX_JSON = 50_000_000
_SMALL_JSON = 32_000
_SHARE = 24
"""Of the files beside it is what longer JSON may take."""
_LONG_JSON = 8_000_000
"""Bytes from which JSON is parsed in Python: the parser in C holds every other thread up, a window's too, until its end."""
_READERS = 4
_READERS_AWAY = 12
"""Where each header is a request or two over the network."""
_READ_AHEAD = 16
"""Headers that a thread reads at a time."""


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a folder, a `.safetensors`/`.bin`/`.pt` file, the built-in "sample", or a Hub id.

    Reads headers only: those of a Hub model that is not in the local cache over the network. Raises SourceError naming the file at
    fault.
    """
    label = str(path)
    try:
        return _opened(resource(SAMPLE) if label == SAMPLE else _expanded(path), label)
    except OSError as error:  # a path too long, a folder that may not be read
        raise SourceError(
            f"{shown(label)} cannot be opened: {error.strerror}", hint="check the path", code="read"
        ) from None


def _expanded(path: str | Path) -> Path:
    """The path with `~` resolved. Raises SourceError where it could be none."""
    if "\0" in str(path):
        raise SourceError(f"{shown(str(path))} is no path", hint="check the path", code="not-found")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user
        return Path(path)


def _opened(given: Path, label: str) -> Checkpoint:
    place, files = located(given, label)
    root = place.root
    for file in files:
        place.check_inside(file)
    if files[0].endswith(SUFFIX):
        config, stored, tensors = read_model(root, files, place.remote)
    else:
        config, stored = _config(place), _read_all(place, files)
        tensors = unpacked(_with_record(place), stored, config, place.remote)
    if not tensors:
        raise SourceError(f"{label} holds no tensors", hint="open a model's folder", code="empty")
    stacks = stacks_of(tensors, config)
    if stacks:
        tensors = split(tensors, stacks)
    checkpoint = Checkpoint(
        root=root,
        path=(given if given.exists() else root).resolve(),
        label=label,
        tensors=classify(tensors, config),
        weight_files=tuple(files),
        carried_files=_carried(place, files),
        config=config,
        architecture=_architecture(config),
        pickled=any(file.endswith(PICKLES) for file in files),
        fingerprint=_fingerprint(place, files, stored),
        stacks=stacks,
        remote=place.remote,
    )
    if len(checkpoint.by_name) < len(tensors):  # made here, where no window waits for it
        _refuse_duplicate(tensors)
    _ = checkpoint.quantizable_modules, checkpoint.quantizable_names  # likewise
    return checkpoint


def _read_all(place: Place, files: Sequence[str]) -> list[TensorInfo]:
    """The tensors of all files, in order. Many headers are read ahead by threads: on a network drive each is a round trip."""
    away = place.remote is not None
    if (len(files) < _READ_AHEAD and not away) or any(file.endswith(PICKLES) for file in files):
        return [tensor for file in files for tensor in _read(place.root, file)]
    size, readers = (1, _READERS_AWAY) if away else (_READ_AHEAD, _READERS)
    batches = [files[at : at + size] for at in range(0, len(files), size)]
    with ThreadPoolExecutor(readers, thread_name_prefix="headers") as pool:
        read = ordered(pool, 2 * readers, (partial(_read_batch, place, batch) for batch in batches))
        return [tensor for heads in read for head in heads for tensor in parse_header(head)[0]]


def _read_batch(place: Place, files: Iterable[str]) -> list[Header]:
    return [read_header_bytes(place.root, file, place.remote) for file in files]


def _read(root: Path, file: str) -> list[TensorInfo]:
    if file.endswith(PICKLES):
        from qtquant_app.engine.state_dict import read_state_dict

        return read_state_dict(root, file)
    return read_header(root, file)[0]


def _refuse_duplicate(tensors: Iterable[TensorInfo]) -> None:
    seen: dict[str, str] = {}
    for tensor in tensors:
        other = seen.setdefault(tensor.name, tensor.file)
        if other != tensor.file:
            raise SourceError(
                f"{shown(tensor.name)} is in {other} and again in {tensor.file}",
                hint="remove the file that does not belong to the model",
                code="duplicate",
            )


class _Patient(json.JSONDecoder):
    """Reads JSON with the scanner written in Python, between whose steps other threads run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.scan_once = py_make_scanner(self)


def read_json(path: Path, beside: int | None = None) -> dict[str, Any]:
    """A JSON object from a file, such as a config, which may be long where the files `beside` it are: it takes up to forty times
    its size to make and to use. Raises SourceError naming the file."""
    try:
        beside = _bytes_beside(path) if beside is None else beside
        text = read_bounded(path, min(_MAX_JSON, max(_SMALL_JSON, beside // _SHARE)))
        data = parse_json(text, cls=_Patient if len(text) > _LONG_JSON else None)
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}", code="read") from None
    except ValueError as error:
        raise SourceError(f"{path.name} is not JSON: {error}", hint="fetch it again", code="json") from None
    if not isinstance(data, dict):
        raise SourceError(f"{path.name} is not a JSON object", hint="fetch it again", code="json")
    return data


def _bytes_beside(path: Path) -> int:
    """What the other files of its folder take."""
    with os.scandir(path.parent) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file() and entry.name != path.name)


def _config(place: Place) -> dict[str, Any]:
    if not place.has("config.json"):
        return {}
    path = place.path("config.json")
    place.check_inside(path.name)
    return read_json(path, None if place.remote is None else sum(map(place.size, place.listed)))


def _with_record(place: Place) -> Path:
    """The root, with the record of a run of QtQuant in it where there is one."""
    if place.remote is not None and place.has(RECORD):
        place.path(RECORD)
    return place.root


def _architecture(config: dict[str, Any]) -> str:
    names = config.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else ""


def _carried(place: Place, weights: list[str]) -> tuple[str, ...]:
    skipped = {*weights, *_OWN}
    carried = [
        name
        for name in place.names()
        if name not in skipped
        and ("/" in name or any(fnmatchcase(name, pattern) for pattern in _CARRIED))
        and not name.endswith(".index.json")
        and portable(name) is None  # no loader asks for a name that not every system has
    ]
    for name in carried:
        place.check_inside(name)
    return tuple(sorted(carried))


def _fingerprint(place: Place, files: Iterable[str], tensors: Iterable[TensorInfo]) -> str:
    """A hash over each weight file's name, size and tensor table. Time stamps are left out: a copy is the same source."""
    sizes = (f"{file}\0{place.size(file)}\n" for file in files)
    tables = (f"{t.name}\0{t.dtype}\0{t.shape}\0{t.file}\0{t.offset}\n" for t in tensors)
    digest = hashlib.sha256("".join(sizes).encode())
    digest.update("".join(tables).encode())
    return digest.hexdigest()
