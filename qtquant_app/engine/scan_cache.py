"""What earlier scans found, kept on disk by the content of a tensor, so that a second scan of the same weights is instant.

A row holds all that is known of one content under one backend and one state of the arithmetic: its statistics, and its error
sums under any number of schemes. Sizes are no part of it: a format says them from the shape. A second table remembers the
hash of a file's bytes by the file's size and time stamps, as git's index does. Nothing here ever fails a scan: a file that
is damaged is made anew, and one that cannot be used is done without.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import sys
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from time import monotonic, time
from typing import Self

from qtquant_app import __version__
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import TensorStats
from qtquant_app.core.scan_reports import RECORD
from qtquant_app.core.scheme import Scheme

MAX_BYTES = 200_000_000
"""Beyond so much the oldest entries go."""

_LAYOUT = 1
_BATCH = 900
"""Keys asked for at once: SQLite before 3.32 takes no more than 999 variables."""
_SECONDS_PER_COMMIT = 2.0
_BUSY_SECONDS = 2.0
"""How long opening and closing wait for another process."""
_BUSY_MS = 50
"""How long writing in between does: what is not written then is written later."""
_STATS = struct.Struct("<2q5d5q")
_CHECK = 8

_TABLES = """
create table if not exists contents(key blob primary key, known blob not null, at integer not null) without rowid;
create table if not exists hashes(key blob primary key, hash blob not null, at integer not null) without rowid;
"""


class PackedSums(MutableMapping[bytes, ErrorSums]):
    """Error sums by `scheme_key`, as they came from the file: each is made when it is asked for."""

    __slots__ = ("order", "records", "weights")

    def __init__(self, weights: int, records: bytes) -> None:
        self.weights = weights
        self.records = records
        """A RECORD each."""
        self.order = tuple([records[start : start + 8] for start in range(0, len(records), RECORD.size)])
        """The keys."""

    def __contains__(self, key: object) -> bool:
        return key in self.order

    def __getitem__(self, key: bytes) -> ErrorSums:
        _, *sums = RECORD.unpack_from(self.records, self._start(key))
        return ErrorSums(self.weights, *sums)

    def __setitem__(self, key: bytes, sums: ErrorSums) -> None:
        if key in self.order:
            del self[key]
        self.__init__(self.weights, self.records + _record(key, sums))  # type: ignore[misc]

    def __delitem__(self, key: bytes) -> None:
        start = self._start(key)
        self.__init__(self.weights, self.records[:start] + self.records[start + RECORD.size :])  # type: ignore[misc]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)

    def _start(self, key: bytes) -> int:
        if key not in self.order:
            raise KeyError(key)
        return RECORD.size * self.order.index(key)


@dataclass(slots=True)
class Known:
    """What is known of one content."""

    stats: TensorStats
    sums: MutableMapping[bytes, ErrorSums] = field(default_factory=dict)
    """By `scheme_key`."""


class ScanCache:
    """One cache file, or none at all: then it knows nothing and forgets everything."""

    def __init__(self, file: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._contents: dict[bytes, Known] = {}
        self._hashes: dict[bytes, bytes] = {}
        self._since = monotonic()
        self._connection = _opened(file) if file is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.close(patient=kind is None)

    def hashes(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The content hashes remembered under `keys`."""
        return self._rows("select key, hash from hashes where key in", list(keys))

    def known(self, keys: Iterable[bytes]) -> dict[bytes, Known]:
        """What is known of the contents of `keys`."""
        keys = list(dict.fromkeys(keys))
        return self._stored(keys) | {key: self._contents[key] for key in keys if key in self._contents}

    def learn(self, key: bytes, known: Known) -> None:
        """Keeps what was found out about a content, beside what the file knows already; written a little later."""
        self._contents[key] = known
        self._write_sometimes()

    def remember(self, key: bytes, content: bytes) -> None:
        """Keeps a content hash."""
        self._hashes[key] = content
        self._write_sometimes()

    def close(self, *, patient: bool = True) -> None:
        """Writes what is not written yet. Waits for another process only where `patient`: a cancel is at once."""
        if self._connection is not None and patient:
            with suppress(sqlite3.Error):
                self._connection.execute(f"pragma busy_timeout={round(1000 * _BUSY_SECONDS)}")
        self.write()
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def write(self) -> None:
        """Writes what was learnt. Where the file is locked for long, or cannot be written, it is kept for the next time."""
        self._since = monotonic()
        if self._connection is None or not (self._contents or self._hashes):
            return
        try:
            with self._connection:
                self._connection.execute("begin immediate")
                self._write(self._connection, int(time()))
            self._contents, self._hashes = {}, {}
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._connection.rollback()

    def _stored(self, keys: Iterable[bytes]) -> dict[bytes, Known]:
        rows = self._rows("select key, known from contents where key in", list(keys))
        found = {key: _unpacked(blob) for key, blob in rows.items()}
        return {key: known for key, known in found.items() if known is not None}

    def _write(self, connection: sqlite3.Connection, now: int) -> None:
        before = self._stored(self._contents)
        rows = []
        for key, known in self._contents.items():
            sums = before[key].sums if key in before else {}
            rows.append((key, _packed(Known(known.stats, {**sums, **known.sums})), now))
        connection.executemany("insert or replace into contents values(?, ?, ?)", rows)
        hashes = [(key, content, now) for key, content in self._hashes.items()]
        connection.executemany("insert or replace into hashes values(?, ?, ?)", hashes)
        _make_room(connection, self._max_bytes)

    def _write_sometimes(self) -> None:
        if monotonic() - self._since > _SECONDS_PER_COMMIT:
            self.write()

    def _rows(self, query: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        if self._connection is None:
            return found
        try:
            keys = sorted(keys)  # the file is in this order: each page is read once
            for start in range(0, len(keys), _BATCH):
                part = keys[start : start + _BATCH]
                marks = ",".join("?" * len(part))
                found.update(self._connection.execute(f"{query} ({marks})", part).fetchall())
        except sqlite3.OperationalError:
            # Locked for long, or the disk is at fault: done without this time.
            return found
        except sqlite3.Error:
            # Damaged in the middle: what was read has its checksum, and the rest is found out again.
            self._start_anew()
        return {key: value for key, value in found.items() if isinstance(value, bytes)}

    def _start_anew(self) -> None:
        if self._connection is not None and not self._connection.in_transaction and self._file is not None:
            self._connection.close()
            self._connection = _opened(self._file, anew=True)


def default_file() -> Path:
    """The cache file: in the folder that the environment variable QTQUANT_CACHE names, or among the user's caches."""
    given = os.environ.get("QTQUANT_CACHE")
    return (Path(given) if given else _user_caches() / "qtquant") / "scans.sqlite3"


def file_of(cache: bool | Path) -> Path | None:
    """The file that the argument `cache` of a scan names: the default one, one's own, or none."""
    if isinstance(cache, Path):
        return cache
    return default_file() if cache else None


@cache
def scheme_key(scheme: Scheme) -> bytes:
    """Eight bytes for what of a scheme decides its codes."""
    parts = (scheme.type, scheme.bits, scheme.strategy, scheme.group_size, scheme.symmetric, scheme.method)
    named = parts if scheme.layout is None else (*parts, scheme.layout)
    named = (*named, scheme.offset) if scheme.offset != "integer" else named
    return hashlib.sha256(repr(named).encode()).digest()[:8]


def content_key(content: bytes, dtype: str, shape: tuple[int, ...], backend: str) -> bytes:
    """The key of a row: the weights, what they are read as, who does the arithmetic, and how."""
    return hashlib.sha256(content + _facts(dtype, shape, backend)).digest()


@lru_cache(maxsize=4096)
def _facts(dtype: str, shape: tuple[int, ...], backend: str) -> bytes:
    return f"{dtype} {list(shape)} {backend} {arithmetic()}".encode()


@cache
def arithmetic() -> str:
    """Names the present state of the arithmetic: a hash of its sources, methods included."""
    import qtquant_app.quant as quant

    digest = hashlib.sha256(__version__.encode())
    for folder in quant.__path__:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _user_caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))


def _opened(file: Path, anew: bool = False) -> sqlite3.Connection | None:
    """A connection to the file, made where there is none, and once more where it is damaged; None where that fails too."""
    for attempt in range(2):
        try:
            if anew or attempt:
                _remove(file)
            return _connected(file)
        except sqlite3.OperationalError:
            return None
        except (sqlite3.DatabaseError, _OtherLayout):
            continue
        except (OSError, ValueError):
            return None
    return None


class _OtherLayout(Exception):  # noqa: N818
    """The file is another version's."""


def _connected(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # Many processes may read while one writes; a power cut costs the last entries at most.
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")
        layout = connection.execute("pragma user_version").fetchone()[0]
        if layout not in (0, _LAYOUT):
            raise _OtherLayout
        if layout == 0:
            connection.executescript(f"begin immediate; {_TABLES} pragma user_version={_LAYOUT}; commit;")
        connection.execute(f"pragma busy_timeout={_BUSY_MS}")
        connection.execute("select count(*) from (select 1 from contents limit 1)").fetchone()
        connection.execute("select count(*) from (select 1 from hashes limit 1)").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _make_room(connection: sqlite3.Connection, limit: int) -> None:
    """Lets go of the oldest quarter where the file has grown beyond `limit`; its pages are used again."""
    pages, free, size = (
        connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size <= limit:
        return
    for table in ("contents", "hashes"):
        quarter = connection.execute(f"select count(*) / 4 + 1 from {table}").fetchone()[0]
        connection.execute(
            f"delete from {table} where key in (select key from {table} order by at limit ?)", (quarter,)
        )


def _packed(known: Known) -> bytes:
    s = known.stats
    numbers = (s.minimum, s.maximum, s.mean, s.std, s.kurtosis)
    counts = (s.outliers, s.zeros, s.dead_rows, s.dead_columns, s.constant_groups)
    parts = [_STATS.pack(s.weights, s.non_finite, *numbers, *counts)]
    parts += [_record(key, sums) for key, sums in known.sums.items()]
    body = b"".join(parts)
    return hashlib.sha256(body).digest()[:_CHECK] + body


def _unpacked(blob: bytes) -> Known | None:
    """The inverse of `_packed`; None where the bytes are not what was written."""
    body = blob[_CHECK:]
    if len(body) < _STATS.size or (len(body) - _STATS.size) % RECORD.size:
        return None
    if hashlib.sha256(body).digest()[:_CHECK] != blob[:_CHECK]:
        return None
    stats = TensorStats(*_STATS.unpack_from(body))
    return Known(stats, PackedSums(stats.weights, body[_STATS.size :]))


def _record(key: bytes, sums: ErrorSums) -> bytes:
    return RECORD.pack(key, sums.square_error, sums.square_weight, sums.square_dequantized, sums.max_error)
