"""A run's source, a part at a time: what is here already as one part, what is elsewhere as it comes in, shard by shard.

A shard is dropped when every tensor in it is written, synced, in the journal, and verified as the run was asked to: what it was
compared with is then gone, so the journal says of each tensor that it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.events import Event, Fetched, StageChanged, Waiting
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.remote import Remote
from qtquant_app.engine import filesystem
from qtquant_app.engine.faults import naming
from qtquant_app.engine.fetching.batches import Batch, batches, files_in_order
from qtquant_app.engine.fetching.fetcher import Fetcher, Order
from qtquant_app.engine.fetching.rate import Rate
from qtquant_app.engine.fetching.room import limit_of
from qtquant_app.engine.fetching.shards import Shards
from qtquant_app.engine.journal import Past
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.shared_range import mates

FOLDER = "source"
"""Inside OUT.partial, as long as the run lasts."""

_LOOK_SECONDS = 0.1
_NEWS_SECONDS = 0.2


@dataclass
class Source:
    """The source of one run. What is here is read where it is, in one batch, and compared with the result at the end."""

    checkpoint: Checkpoint
    batches: Sequence[Batch]

    @property
    def comes_and_goes(self) -> bool:
        """Whether each batch is to be verified before the next, because its files may be gone then."""
        return False

    def all_here(self) -> Iterator[Event]:
        """Returns when every file that is read is here, and what the result carries over."""
        return iter(())

    def here(self, batch: Batch) -> Iterator[Event]:
        """Returns when the files of a batch are here. Raises what keeps them from coming."""
        return iter(())

    def small_here(self) -> Iterator[Event]:
        """Returns when what the result carries over is here."""
        return iter(())

    def news(self) -> Iterator[Event]:
        """What has come in since the last time, where it is time to tell."""
        return iter(())

    def let_go(self, batch: Batch) -> Callable[[], None]:
        """Nothing reads the batch any more. What to call when all that was made of it is safe."""
        return _nothing


def _nothing() -> None:
    pass


@dataclass
class FetchedSource(Source):
    """A source that is fetched while the run works. Every wait hands out events, and ends at once when the run is closed."""

    fetcher: Fetcher
    shards: Shards
    _rate: Rate = field(default_factory=Rate)
    _told: float = 0.0

    @property
    def comes_and_goes(self) -> bool:
        return True

    def all_here(self) -> Iterator[Event]:
        yield StageChanged("fetch")
        yield from self._until(lambda: self.fetcher.ready(self._fetched(files_in_order(self.batches)), small=True))

    def here(self, batch: Batch) -> Iterator[Event]:
        files = self._fetched(batch.files)
        self.fetcher.want(files)
        yield from self._until(lambda: self.fetcher.ready(files))

    def small_here(self) -> Iterator[Event]:
        yield from self._until(lambda: self.fetcher.ready((), small=True))

    def news(self) -> Iterator[Event]:
        if monotonic() - self._told >= _NEWS_SECONDS:
            yield self._event()

    def let_go(self, batch: Batch) -> Callable[[], None]:
        for file in batch.last:
            self.shards.let_go(file)
        self.fetcher.leave(batch.last)
        return partial(self._drop, self._fetched(batch.last))

    def _drop(self, files: Sequence[str]) -> None:
        for file in files:
            self.fetcher.drop(file)

    def _fetched(self, files: Collection[str]) -> list[str]:
        """Those of the files that are fetched for this run."""
        return [file for file in files if file in self.fetcher.files]

    def _until(self, ready: Callable[[], bool]) -> Iterator[Event]:
        while not ready():
            yield self._event()
            self.fetcher.wait(_LOOK_SECONDS)

    def _event(self) -> Event:
        self._told = monotonic()
        file, done, trouble = self.fetcher.progress()
        rate = self._rate.take(done)
        if trouble is not None:
            return Waiting(trouble.code, f"{trouble.message}: the run goes on when that is over")
        total = self.fetcher.total
        return Fetched(file, done, total, rate, (total - done) / rate if rate else None)


@contextmanager
def open_source(
    checkpoint: Checkpoint, plan: Plan, past: Past | None, options: RunOptions, partial_folder: Path
) -> Iterator[Source]:
    """The source of a run of `plan`, whose threads end with the context; `past` is what an earlier one left of it."""
    left = _left(checkpoint, plan, past, options)
    folder, remote = partial_folder / FOLDER, checkpoint.remote
    if remote is None:
        yield Source(checkpoint, [Batch((), tuple(left))])
        return
    schemes = {tensor.name: tensor.scheme for tensor in plan.tensors}

    def looked_at(tensor: TensorInfo) -> Sequence[TensorInfo]:
        scheme = schemes[tensor.name]
        return (tensor,) if scheme is None else (tensor, *mates(checkpoint, tensor, scheme))

    parts = batches(left, looked_at)
    order = _order(remote, files_in_order(parts), checkpoint, plan, options)
    _clear(folder, () if order.cache else order.files)
    fetcher = Fetcher(remote, folder, order)
    try:
        shards = Shards(remote, folder, fetcher)
        yield FetchedSource(replace(checkpoint, remote=shards), parts, fetcher, shards)
    finally:
        fetcher.close()


def _left(checkpoint: Checkpoint, plan: Plan, past: Past | None, options: RunOptions) -> list[TensorInfo]:
    """What is to be written, or was written and never compared with its source."""
    places, local = by_source(plan.files), checkpoint.remote is None
    return [
        tensor
        for tensor in checkpoint.tensors
        if tensor.name in places
        and (
            past is None
            or tensor.name not in past.tensors
            or not (local or past.is_verified(tensor.name, options.verify))
        )
    ]


def _order(remote: Remote, files: Sequence[str], checkpoint: Checkpoint, plan: Plan, options: RunOptions) -> Order:
    away = [file for file in files if not remote.has(file)]
    limit = None if plan.calibration is not None else limit_of(map(remote.size, away))
    return Order(away, checkpoint.carried_files, limit, options.source_shards == "cache")


def _clear(folder: Path, files: Collection[str]) -> None:
    """Removes what an earlier run fetched and had no time to drop."""
    if not folder.is_dir():
        return
    with naming(folder, "cannot be cleared"):
        for path in sorted(folder.rglob("*")):
            if not path.is_dir() and path.relative_to(folder).as_posix() not in files:
                filesystem.remove(path)


def remove_folder(partial_folder: Path) -> None:
    """Removes what was fetched: the result is to hold nothing else than was planned. Raises WriteError."""
    folder = partial_folder / FOLDER
    with naming(folder, "cannot be removed"):
        if folder.is_dir():
            filesystem.remove(folder)


def needs_all(plan: Plan, past: Past | None) -> bool:
    """Whether calibration has yet to read the whole source, block by block: it is done before the first tensor is written."""
    return plan.calibration is not None and not (past is not None and past.tensors)


def through(events: Generator[Event, None, None], source: Source) -> Iterator[Event]:
    """`events`, and what comes in meanwhile."""
    for event in events:
        yield event
        yield from source.news()
