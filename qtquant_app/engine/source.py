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
from pathlib import Path, PurePosixPath
from typing import Any

from qtquant_app.assets import resource
from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import parse_json, shown
from qtquant_app.engine.architecture import classify
from qtquant_app.engine.experts.splitting import split, stacks_of
from qtquant_app.engine.foreign_files import check_inside, portable, read_bounded
from qtquant_app.engine.gguf_source import SUFFIX, only_model, read_model, siblings
from qtquant_app.engine.index_file import named_files
from qtquant_app.engine.packed.unpacked import unpacked
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.safetensors_header import Header, parse_header, read_header, read_header_bytes

SAMPLE = "sample"

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
_PICKLES = (".bin", ".pt", ".pth")
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
_OWN = ("config.json", "qtquant.json", *_INDEXES)
_MAX_JSON = 50_000_000
_SMALL_JSON = 32_000
_SHARE = 24
"""Of the files beside it is what longer JSON may take."""
_LONG_JSON = 8_000_000
"""Bytes from which JSON is parsed in Python: the parser in C holds every other thread up, a window's too, until its end."""
_READERS = 4
_READ_AHEAD = 16
"""Headers that a thread reads at a time."""


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a folder, a `.safetensors`/`.bin`/`.pt` file, the built-in "sample", or a Hub id that is in the local cache.

    Reads headers only. Raises SourceError naming the file at fault.
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
    root, files = _locate(given, label)
    for file in files:
        check_inside(root, file)
    if files[0].endswith(SUFFIX):
        config, stored, tensors = read_model(root, files)
    else:
        config, stored = _config(root), _read_all(root, files)
        tensors = unpacked(root, stored, config)
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
        carried_files=_carried(root, files),
        config=config,
        architecture=_architecture(config),
        pickled=any(file.endswith(_PICKLES) for file in files),
        fingerprint=_fingerprint(root, files, stored),
        stacks=stacks,
    )
    if len(checkpoint.by_name) < len(tensors):  # made here, where no window waits for it
        _refuse_duplicate(tensors)
    _ = checkpoint.quantizable_modules, checkpoint.quantizable_names  # likewise
    return checkpoint


def _locate(path: Path, label: str) -> tuple[Path, list[str]]:
    if path.is_file():
        if path.name.endswith(".index.json"):
            return path.parent, _from_index(path.parent, path.name)
        if path.suffix == SUFFIX:
            return path.parent, siblings(path.parent, path.name)
        if path.suffix not in (".safetensors", *_PICKLES):
            raise SourceError(
                f"{label} is neither a .safetensors nor a .gguf nor a .bin/.pt file",
                hint="open the model's folder, or one of its weight files",
                code="no-weights",
            )
        return path.parent, [path.name]
    if path.is_dir():
        return path, _weight_files(path, label)
    cached = cached_on_hub(label)
    if cached is not None:
        return cached, _weight_files(cached, label)
    raise SourceError(
        f"{label} is not a file or folder here, nor a Hub model in the local cache",
        hint="check the path; a Hub model is fetched with `hf download ORG/NAME`",
        code="not-found",
    )


def _weight_files(root: Path, label: str) -> list[str]:
    for index, single in zip(_INDEXES, _SINGLES, strict=True):
        if (root / index).is_file():
            return _from_index(root, index)
        if (root / single).is_file():
            return [single]
    for suffix in (".safetensors", *_PICKLES):
        found = sorted(p.name for p in root.iterdir() if p.suffix == suffix and p.is_file())
        if found:
            return found
    if any(p.suffix == SUFFIX and p.is_file() for p in root.iterdir()):
        return only_model(root, label)
    raise SourceError(
        f"{label} holds no weights: no .safetensors, .gguf, .bin or .pt file",
        hint="open the folder that holds the model's weight files",
        code="no-weights",
    )


def _from_index(root: Path, index: str) -> list[str]:
    files = sorted({_shard_name(file, index) for file in named_files(root / index)})
    if not files:
        raise SourceError(f"{index} has no weight_map", hint="fetch the index again", code="index")
    for file in files:
        if not (root / file).is_file():
            raise SourceError(
                f"{index} names the shard {file}, which is missing", hint="fetch the missing shard", code="index"
            )
    return files


def _shard_name(file: str, index: str) -> str:
    if not file:
        raise SourceError(f"{index} names a shard by {shown(file)}, not by a file name", code="index")
    why = portable(file)
    if why is not None:
        raise SourceError(
            f"{index} names the shard {shown(file)}, which {why}",
            hint="do not trust this checkpoint: an index names files beside it",
            code="index",
        )
    return str(PurePosixPath(file))


def _read_all(root: Path, files: Sequence[str]) -> list[TensorInfo]:
    """The tensors of all files, in order. Many headers are read ahead by threads: on a network drive each is a round trip."""
    if len(files) < _READ_AHEAD or any(file.endswith(_PICKLES) for file in files):
        return [tensor for file in files for tensor in _read(root, file)]
    batches = [files[at : at + _READ_AHEAD] for at in range(0, len(files), _READ_AHEAD)]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="headers") as pool:
        read = ordered(pool, 2 * _READERS, (partial(_read_batch, root, batch) for batch in batches))
        return [tensor for heads in read for head in heads for tensor in parse_header(head)[0]]


def _read_batch(root: Path, files: Iterable[str]) -> list[Header]:
    return [read_header_bytes(root, file) for file in files]


def _read(root: Path, file: str) -> list[TensorInfo]:
    if file.endswith(_PICKLES):
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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, such as a config, which may be long where the files beside it are: it takes up to forty times its
    size to make and to use. Raises SourceError naming the file."""
    try:
        text = read_bounded(path, min(_MAX_JSON, max(_SMALL_JSON, _bytes_beside(path) // _SHARE)))
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


def _config(root: Path) -> dict[str, Any]:
    path = root / "config.json"
    if not path.is_file():
        return {}
    check_inside(root, path.name)
    return read_json(path)


def _architecture(config: dict[str, Any]) -> str:
    names = config.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else ""


def _carried(root: Path, weights: list[str]) -> tuple[str, ...]:
    skipped = {*weights, *_OWN}
    names = [p.name for p in root.iterdir() if p.is_file() and p.name not in skipped]
    carried = [n for n in names if any(fnmatchcase(n, p) for p in _CARRIED) and not n.endswith(".index.json")]
    templates = root / "additional_chat_templates"
    if templates.is_dir():
        carried += [f"{templates.name}/{p.name}" for p in templates.iterdir() if p.suffix == ".jinja"]
    carried = [
        name for name in carried if portable(name) is None
    ]  # no loader asks for a name that not every system has
    for name in carried:
        check_inside(root, name)
    return tuple(sorted(carried))


def cached_on_hub(label: str) -> Path | None:
    """The folder of a Hub id, `org/name[@revision]`, in the local cache; None where there is none."""
    name, _, revision = label.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or not all(name.split("/")):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision or None)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _fingerprint(root: Path, files: Iterable[str], tensors: Iterable[TensorInfo]) -> str:
    """A hash over each weight file's name, size and tensor table. Time stamps are left out: a copy is the same source."""
    sizes = (f"{file}\0{(root / file).stat().st_size}\n" for file in files)
    tables = (f"{t.name}\0{t.dtype}\0{t.shape}\0{t.file}\0{t.offset}\n" for t in tensors)
    digest = hashlib.sha256("".join(sizes).encode())
    digest.update("".join(tables).encode())
    return digest.hexdigest()
