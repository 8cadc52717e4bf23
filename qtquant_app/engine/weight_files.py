"""Finds the weight files of a checkpoint: in a folder, in the Hub's cache, or on the Hub itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import shown
from qtquant_app.core.remote import Remote
from qtquant_app.engine.foreign_files import check_inside, portable
from qtquant_app.engine.gguf_source import SUFFIX, only_model, siblings
from qtquant_app.engine.hub.names import HubId, hub_id
from qtquant_app.engine.index_file import named_files

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
PICKLES = (".bin", ".pt", ".pth")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
_TEMPLATES = "additional_chat_templates"


@dataclass(frozen=True)
class Place:
    """The folder of a checkpoint; with `remote`, some of its files are not here."""

    root: Path
    label: str
    remote: Remote | None = None
    listed: tuple[str, ...] = ()
    """The names of all files, where they are not here."""

    def has(self, file: str) -> bool:
        return (self.root / file).is_file() if self.remote is None else file in self.listed

    def names(self) -> list[str]:
        """The files of the folder itself, and the chat templates in the folder for them."""
        if self.remote is not None:
            return [n for n in self.listed if "/" not in n or (n.startswith(f"{_TEMPLATES}/") and n.endswith(".jinja"))]
        names = [p.name for p in self.root.iterdir() if p.is_file()]
        templates = self.root / _TEMPLATES
        within = templates.iterdir() if templates.is_dir() else ()
        return names + [f"{_TEMPLATES}/{p.name}" for p in within if p.suffix == ".jinja"]

    def path(self, file: str) -> Path:
        """A small file, here."""
        return self.root / file if self.remote is None else self.remote.fetch(file)

    def size(self, file: str) -> int:
        return (self.root / file).stat().st_size if self.remote is None else self.remote.size(file)

    def check_inside(self, file: str) -> None:
        """Raises SourceError where a file is a link that leads elsewhere; on the Hub there are none."""
        if self.remote is None:
            check_inside(self.root, file)


def located(path: Path, label: str) -> tuple[Place, list[str]]:
    """Where the checkpoint is, and its weight files in order. Raises SourceError where there is none."""
    if path.is_file():
        return _of_file(path, Place(path.parent, label))
    if path.is_dir():
        place = Place(path, label)
        return place, weight_files(place)
    cached = cached_on_hub(label)
    if cached is not None:
        place = Place(cached, label)
        try:
            return place, weight_files(place)
        except SourceError as error:
            if hub_id(label) is None or error.code not in ("index", "no-weights"):
                raise
    return _on_hub(label)


def _of_file(path: Path, place: Place) -> tuple[Place, list[str]]:
    if path.name.endswith(".index.json"):
        return place, _from_index(place, path.name)
    if path.suffix == SUFFIX:
        return place, siblings(place.names(), path.name)
    if path.suffix not in (".safetensors", *PICKLES):
        raise SourceError(
            f"{place.label} is neither a .safetensors nor a .gguf nor a .bin/.pt file",
            hint="open the model's folder, or one of its weight files",
            code="no-weights",
        )
    return place, [path.name]


def _on_hub(label: str) -> tuple[Place, list[str]]:
    """A model of which at most a part is here: its headers are read over the network."""
    named = hub_id(label)
    if named is None:
        raise SourceError(
            f"{label} is not a file or folder here, nor a Hub model in the local cache",
            hint="check the path; a Hub model is named ORG/NAME or ORG/NAME@REVISION",
            code="not-found",
        )
    from qtquant_app.engine.hub.listing import listing
    from qtquant_app.engine.hub.remote import HubRemote

    try:
        found = listing(named)
    except SourceError as error:
        raise _away(label, error) from None
    remote = HubRemote(found)
    _refuse_pickles(named, tuple(found.files))
    place = Place(remote.root, label, remote, tuple(found.files))
    return place, weight_files(place)


def _away(label: str, error: SourceError) -> SourceError:
    if error.code != "hub-offline":
        return error
    why = error.message.partition(", and ")[0]
    text = f"{label} is not a file or folder here, nor a Hub model in the local cache, and {why}"
    return SourceError(text, hint=f"check the path; for the Hub: {error.hint}", code="not-found")


def _refuse_pickles(named: HubId, names: Sequence[str]) -> None:
    """Pickles have no header that says what is in them."""
    pickled = any(name.endswith(PICKLES) for name in names)
    if pickled and not any(name.endswith((".safetensors", SUFFIX)) for name in names):
        raise SourceError(
            f"{named.label} has its weights in pickles, which cannot be looked into before they are fetched",
            hint=f"fetch it with `hf download {named.repo}`",
            code="hub-pickles",
        )


def weight_files(place: Place) -> list[str]:
    """The weight files of a folder, in order. Raises SourceError where there are none, or where one of an index is missing."""
    for index, single in zip(INDEXES, _SINGLES, strict=True):
        if place.has(index):
            return _from_index(place, index)
        if place.has(single):
            return [single]
    names = place.names()
    for suffix in (".safetensors", *PICKLES):
        found = sorted(name for name in names if name.endswith(suffix))
        if found:
            return found
    if any(name.endswith(SUFFIX) for name in names):
        return only_model(names, place.label)
    raise SourceError(
        f"{place.label} holds no weights: no .safetensors, .gguf, .bin or .pt file",
        hint="open the folder that holds the model's weight files",
        code="no-weights",
    )


def _from_index(place: Place, index: str) -> list[str]:
    files = sorted({_shard_name(file, index) for file in named_files(place.path(index))})
    if not files:
        raise SourceError(f"{index} has no weight_map", hint="fetch the index again", code="index")
    for file in files:
        if not place.has(file):
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
