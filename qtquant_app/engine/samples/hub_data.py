"""Text of a data set on the Hub: one file of it, fetched by the Hub's own client; none of its code is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from qtquant_app.core.errors import SourceError
from qtquant_app.core.foreign_files import portable
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import shown
from qtquant_app.core.quantities import bytes_text
from qtquant_app.engine.hub import HubId
from qtquant_app.engine.hub.client import ask
from qtquant_app.engine.hub.faults import told
from qtquant_app.engine.language_model import silent
from qtquant_app.engine.samples.chats import LISTS, Document, chat_of
from qtquant_app.engine.samples.documents import MOST_ITEMS, Documents, read_file, unfit
from qtquant_app.engine.text import MOST_BYTES

MOST_FETCHED = 1 << 30
"""Bytes of the file that is fetched."""
_MOST_FILES = 20_000
_ENDS = (".jsonl", ".ndjson", ".parquet", ".json", ".txt")
_OUR_WORD, _HUB_WORD = "hub:", "hf://datasets/"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set, and what of it is asked for: a configuration, a split, or a file by its path."""

    place: HubId
    words: tuple[str, ...] = ()
    path: str = ""

    @property
    def label(self) -> str:
        return ":".join((self.place.label, *self.words)) + (f"/{self.path}" if self.path else "")


def data_set(source: str) -> DataSet | None:
    """`hub:org/name[@revision][:config][:split]` or `hf://datasets/org/name[@revision][/path]` taken apart; None for anything else.

    Raises SourceError where the rest is no such thing.
    """
    if source.startswith(_OUR_WORD):
        whole, *words = source.removeprefix(_OUR_WORD).split(":")
        repo, _, revision = whole.partition("@")
        path = ""
    elif source.startswith(_HUB_WORD):
        parts = source.removeprefix(_HUB_WORD).split("/", 2)
        name, _, revision = (parts[1] if len(parts) > 1 else "").partition("@")
        repo, words, path = f"{parts[0]}/{name}", [], parts[2] if len(parts) > 2 else ""
    else:
        return None
    if not _NAME.fullmatch(repo) or len(words) > 2 or not all(words):
        raise SourceError(
            f"{shown(source)} names no data set", hint="write hub:org/name[:config][:split]", code="hub-name"
        )
    return DataSet(HubId(repo, revision), tuple(words), path)


def documents(wanted: DataSet) -> Documents:
    """What one file of it holds. Raises SourceError where there is none such, or the Hub cannot be reached."""
    file = _choice(wanted)
    local = _fetched(wanted.place, file)
    name = f"{file} of {wanted.place.label}"
    if file.endswith(".parquet"):
        return table(local, name)
    items = read_file(local)
    if not items:
        raise unfit(f"{name} holds no text")
    return Documents(name, items)


def table(file: Path, name: str) -> Documents:
    """The rows of a Parquet file, as far as any file is read. Raises SourceError where it has no text, or cannot be read."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise SourceError(
            f"{name} is a Parquet file, and reading it takes pyarrow, which is not installed",
            hint="pip install pyarrow, or give JSON lines",
            code="pyarrow",
        ) from None
    try:
        with parquet.ParquetFile(file) as opened:
            items = list(_rows(opened, name))
    except SourceError:
        raise
    except Exception as error:  # Arrow's own errors derive from many
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise unfit(f"{name} cannot be read: {reason}") from None
    if not items:
        raise unfit(f"{name} holds no text")
    return Documents(name, items)


def _rows(opened: Any, name: str) -> Iterator[Document]:
    columns = opened.schema_arrow.names
    column = next((found for found in (*LISTS, "text") if found in columns), None)
    if column is None:
        raise unfit(f'{name} has neither "text" nor "messages", but {", ".join(map(shown, columns[:8]))}')
    left, kept = MOST_BYTES, 0
    for batch in opened.iter_batches(batch_size=64, columns=[column]):
        if batch.nbytes > MOST_BYTES:
            raise unfit(f"{name} holds rows of more than {bytes_text(MOST_BYTES)}")
        left -= batch.nbytes
        for value in batch.column(0).to_pylist():
            item = value if isinstance(value, str) else chat_of(value)
            kept += 1 if isinstance(item, str) else len(item)
            if item:
                yield item
        if left <= 0 or kept >= MOST_ITEMS:
            return


def _choice(wanted: DataSet) -> str:
    """The file to fetch: the one that is named, else the first of the split and configuration, "train" where none is said."""
    if wanted.path and _cached(wanted) is not None:
        return wanted.path
    sizes = _files(wanted.place)
    found = [wanted.path] if wanted.path in sizes else []
    if not wanted.path:
        found = _about(sorted(file for file in sizes if file.endswith(_ENDS)), wanted.words)
    if not found:
        what = f"no {shown(wanted.path)}" if wanted.path else "no such file of JSON lines, Parquet or text"
        hint = f"it holds {', '.join(map(shown, sorted(sizes)[:5]))}" if sizes else "choose another data set"
        raise SourceError(f"{wanted.label} has {what}", hint=hint, code="hub-no-file")
    if sizes[found[0]] > MOST_FETCHED:
        raise SourceError(
            f"{found[0]} of {wanted.place.label} has {bytes_text(sizes[found[0]])}, more than is fetched for calibration",
            hint="name a smaller one: hf://datasets/org/name/path",
            code="calibration",
        )
    return found[0]


def _about(files: list[str], words: tuple[str, ...]) -> list[str]:
    """Those of the configuration and split that are asked for; of what is left the ones to train with, where there are some."""
    for word in words:
        files = [file for file in files if _names(file, word)]
    return [file for file in files if _names(file, "train")] or files


def _names(file: str, word: str) -> bool:
    """Whether a configuration or split is in a file's path: as a folder, or as the beginning of its name."""
    path = PurePosixPath(file)
    return word in path.parent.parts or bool(re.match(rf"{re.escape(word)}(?![A-Za-z0-9])", path.name))


def _files(place: HubId) -> Mapping[str, int]:
    """The files of the data set and their bytes."""
    at = f"/api/datasets/{place.repo}" + (f"/revision/{quote(place.revision, safe='')}" if place.revision else "")
    found = ask(at, {"blobs": "true"}, place=place)
    with told(place):
        entries = [Fields(item) for item in Fields(found).items("siblings")[:_MOST_FILES]]
        sizes = {entry.text("rfilename"): entry.optional_count("size") or 0 for entry in entries}
    return {file: size for file, size in sizes.items() if portable(file) is None}


def _cached(wanted: DataSet) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    place = wanted.place
    with told(place, wanted.path):
        found = try_to_load_from_cache(place.repo, wanted.path, revision=place.revision or None, repo_type="dataset")
    return found if isinstance(found, str) else None


def _fetched(place: HubId, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    with silent(), told(place, file):
        return Path(hf_hub_download(place.repo, file, revision=place.revision or None, repo_type="dataset"))
