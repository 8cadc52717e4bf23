"""A commit on the Hub as the place of a checkpoint's weight files: what is read of them is fetched by range, and kept."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.core.json_text import shown
from qtquant_app.engine import filesystem
from qtquant_app.engine.hub.claims import Claims
from qtquant_app.engine.hub.downloading import download
from qtquant_app.engine.hub.faults import missing, told
from qtquant_app.engine.hub.files import cached, fetch
from qtquant_app.engine.hub.listing import Listed, Listing, hub_folder
from qtquant_app.engine.hub.pieces import Pieces
from qtquant_app.engine.hub.ranges import Ranges

if TYPE_CHECKING:
    from typing_extensions import Buffer

REQUEST = 8 << 20
"""Bytes asked for at once, at most."""
_CONNECTIONS = 8


class HubRemote:
    """Implements `core.remote.Remote`. Made once for a checkpoint, shared by all of its readers."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self._ranges = Ranges(listing)
        self._pieces: dict[str, Pieces] = {}
        self._claims: dict[str, Claims] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.listing.place.label

    @cached_property
    def root(self) -> Path:
        """Where small files come to lie: the snapshot in the Hub's cache."""
        from huggingface_hub import constants

        snapshot = Path(constants.HF_HUB_CACHE) / f"models--{self.listing.repo.replace('/', '--')}" / "snapshots"
        small = next(
            (file for file in ("config.json", "README.md", ".gitattributes") if file in self.listing.files), ""
        )
        if small:
            return self.fetch(small).parent
        bare = snapshot / self.listing.commit
        with told(self.listing.place):
            bare.mkdir(parents=True, exist_ok=True)
        return bare

    def size(self, file: str) -> int:
        return self._listed(file).size

    def mark(self, file: str) -> str:
        return self._listed(file).hash

    def fetch(self, file: str) -> Path:
        self._listed(file)
        return cached(self.listing.place, file) or fetch(self.listing.place, file)

    def open(self, file: str) -> io.RawIOBase:
        return filesystem.open_for_reading(self.root / file) if self.has(file) else RangeFile(self, file)

    def missing(self, file: str, start: int, stop: int) -> int:
        if self.has(file):
            return 0
        return sum(last - first for first, last in self.pieces(file).missing(start, stop))

    def has(self, file: str) -> bool:
        try:
            return (self.root / file).stat().st_size == self.size(file)
        except OSError:
            return False

    def part(self, file: str, start: int, stop: int, given_up: threading.Event, *, anew: bool = False) -> bytes:
        if anew:
            return self._ranges.get(file, start, stop, given_up)
        pieces, found = self.pieces(file), bytearray()
        while start + len(found) < stop:
            at = start + len(found)
            found += pieces.read(at, stop) or self._ranges.get(file, at, pieces.next(at + 1, stop), given_up)
        return bytes(found)

    def download(self, file: str, given_up: threading.Event, progress: Callable[[int], None]) -> Path:
        return download(self.listing, file, given_up, progress)

    def prefetch(self, file: str, ranges: Iterable[tuple[int, int]]) -> None:
        if self.has(file):
            return
        with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="ranges") as pool:
            for done in [pool.submit(self._kept, file, *part) for each in ranges for part in _parts(*each)]:
                done.result()

    def pieces(self, file: str) -> Pieces:
        """What is known of a file."""
        with self._lock:
            if file not in self._pieces:
                repo, name = self.listing.repo, hashlib.sha256(file.encode()).hexdigest()[:16]
                folder = f"{name}-{self._listed(file).hash[:24]}"
                self._pieces[file] = Pieces(hub_folder() / "ranges" / repo.replace("/", "--") / folder)
                self._claims[file] = Claims()
            return self._pieces[file]

    def read_into(self, file: str, start: int, view: memoryview) -> None:
        """Fills `view` with the bytes of `file` from `start` on, fetching what is not known."""
        pieces, at, stop = self.pieces(file), start, start + len(view)
        while at < stop:
            found = pieces.read(at, stop) or self._fetched(file, at, min(pieces.next(at + 1, stop), at + REQUEST))
            view[at - start : at - start + len(found)] = found
            at += len(found)

    def _kept(self, file: str, start: int, stop: int) -> None:
        """Fetches what is not known of a range."""
        for first, last in self.pieces(file).missing(start, stop):
            self._fetched(file, first, last)

    def _fetched(self, file: str, start: int, stop: int) -> bytes:
        """Bytes from `start` on, up to `stop` or fewer where somebody else has just fetched them."""
        pieces = self.pieces(file)
        with self._claims[file].held(start, stop):
            found = pieces.read(start, stop)  # another thread may have been quicker
            if not found:
                found = self._ranges.get(file, start, min(stop, pieces.next(start + 1, stop)))
                pieces.keep(start, found)
            return found

    def _listed(self, file: str) -> Listed:
        found = self.listing.files.get(file)
        if found is None:
            raise missing(self.listing.place, shown(file))
        return found


def _parts(start: int, stop: int) -> list[tuple[int, int]]:
    return [(at, min(at + REQUEST, stop)) for at in range(start, stop, REQUEST)]


class RangeFile(io.RawIOBase):
    """One file of a commit, read from any place. A handle belongs to one thread, as any handle with a position does."""

    def __init__(self, remote: HubRemote, file: str) -> None:
        super().__init__()
        self._remote = remote
        self._file = file
        self._size = remote.size(file)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if count:
            self._remote.read_into(self._file, self._at, view[:count])
            self._at += count
        return count
