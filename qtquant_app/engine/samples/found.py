"""What there is at a source of calibration data: text, pictures, sounds, and which text belongs to which picture or sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtquant_app.core.calibration import DEFAULT
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.samples import hub_data, pictures, sounds
from qtquant_app.engine.samples.documents import Documents, built_in, many_files, one_file, read_file

MOST_FILES = 10_000
_CAPTIONS = (".txt", ".caption")


@dataclass(frozen=True)
class Found:
    """Files and texts at a source; whatever is not there is empty."""

    name: str
    documents: Documents | None = None
    pictures: tuple[Path, ...] = ()
    sounds: tuple[Path, ...] = ()

    def caption(self, file: Path) -> str:
        """The text beside a picture or a sound, in a file of the same name that ends in .txt or .caption; empty for none."""
        for end in _CAPTIONS:
            beside = file.with_suffix(end)
            if beside.is_file():
                return " ".join(str(item) for item in read_file(beside, 1 << 16)).strip()
        return ""


def look_up(source: str) -> Found:
    """What is at `source`. Raises SourceError where there is nothing that anything can be calibrated with."""
    if source == DEFAULT:
        return Found(DEFAULT, built_in())
    place = hub_data.data_set(source)
    if place is not None:
        return Found(place.label, hub_data.documents(place))
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() in pictures.ENDS:
        return Found(path.name, pictures=(path,))
    if path.suffix.lower() in sounds.ENDS:
        return Found(path.name, sounds=(path,))
    if path.suffix.lower() == ".parquet":
        return Found(path.name, hub_data.table(path, path.name))
    return Found(path.name, one_file(path))


def _folder(folder: Path) -> Found:
    files = _files(folder)
    shown = tuple(file for file in files if file.suffix.lower() in pictures.ENDS)
    heard = tuple(file for file in files if file.suffix.lower() in sounds.ENDS)
    taken = {*shown, *heard}
    beside = {file.with_suffix(end) for file in taken for end in _CAPTIONS}
    texts = [file for file in files if file not in taken and file not in beside]
    name = folder.name or str(folder)
    if not taken:
        return Found(name, many_files(folder, texts))
    return Found(name, _any_text(folder, texts), shown, heard)


def _any_text(folder: Path, files: Sequence[Path]) -> Documents | None:
    """Text among pictures and sounds, where there is some."""
    try:
        return many_files(folder, files) if files else None
    except SourceError:
        return None


def _files(folder: Path) -> list[Path]:
    """The files in it and in its folders, by name; links to folders are not followed, and hidden files are passed over."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [file for name in sorted(names) if not name.startswith(".") and (file := Path(root, name)).is_file()]
        if len(found) > MOST_FILES:
            raise SourceError(
                f"{folder} holds more than {MOST_FILES:,} files",
                hint="give a folder of the samples alone",
                code="calibration",
            )
    if not found:
        raise SourceError(
            f"{folder} holds no files", hint="give a folder of text, pictures or sounds", code="calibration"
        )
    return found
