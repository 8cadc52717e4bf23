"""What the window asks of the Hub, as work for Jobs. The engine is imported inside the worker; whatever waits for an answer can be
left at once."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.hub import HubPage
from qtquant_app.core.publication import Destination, PublishOptions
from qtquant_app.gui.hub_query import Downloaded, HubQuery, Looked
from qtquant_app.jobs.aside import aside
from qtquant_app.jobs.job import Work, once

AT_ONCE = 16 << 20
"""Bytes of a tensor that are fetched between two looks whether they are still wanted."""
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt")


class HubVerbs:
    """Finds and looks at models, signs in and out, and publishes."""

    def search_hub(self, query: HubQuery) -> Work:
        """Work that returns the models found: a list of HubModels."""

        def find() -> Any:
            from qtquant_app.engine.hub.search import Search, search

            return search(Search(**asdict(query)))

        return _asked(find)

    def hub_page(self, repo: str, revision: str) -> Work:
        """Work that returns what there is to read about a model: Looked."""

        def read() -> Looked:
            from qtquant_app.engine.hub.names import HubId
            from qtquant_app.engine.hub.page import page

            found: HubPage = page(HubId(repo, revision))
            return Looked(found, address_of(repo))

        return _asked(read)

    def quantizations(self, base: str) -> Work:
        """Work that returns what others have quantized from `base`: a list of Quantizations."""

        def find() -> Any:
            from qtquant_app.engine.hub.search import quantizations_of

            return quantizations_of(base)

        return _asked(find)

    def downloaded(self) -> Work:
        """Work that returns what of the Hub is on this computer: Downloaded. It asks nobody."""

        def look() -> Downloaded:
            from qtquant_app.engine.hub.local import cached_models, range_bytes

            models = tuple(cached_models())
            return Downloaded(models, frozenset(m.path for m in models if _is_whole(Path(m.path))), range_bytes())

        return once(look)

    def who(self) -> Work:
        """Work that returns the HubAccount that is signed in, or None."""

        def look() -> Any:
            from qtquant_app.engine.hub.access import who

            return who()

        return _asked(look)

    def sign_in(self, token: str) -> Work:
        """Work that tries `token`, hands it to the Hub's own store, and returns the HubAccount."""

        def enter() -> Any:
            from qtquant_app.engine.hub.access import sign_in

            return sign_in(token)

        return _asked(enter)

    def sign_in_by_browser(self, asked: queue.SimpleQueue[tuple[str, str, float]]) -> Work:
        """Work that puts address, code and the seconds that they hold for into `asked`, waits for a person to say yes there, and
        returns the HubAccount. They are no event: a code is nothing for the notes that a crash report shows."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.hub.browser import Asked, sign_in_by_browser

            steps = sign_in_by_browser()
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    return end.value
                if isinstance(step, Asked):
                    asked.put((step.address, step.code, step.seconds))
                yield ChunkDone("", 0)

        return aside(work)

    def sign_out(self) -> Work:
        """Work that empties the Hub's own store and returns whom a token of the environment signs in still: HubAccount | None."""

        def leave() -> Any:
            from qtquant_app.engine.hub.access import sign_out, who

            return None if sign_out() else who()

        return _asked(leave)

    def fetch_cost(self, checkpoint: Checkpoint, layer: str) -> Work:
        """Work that returns the bytes that looking at `layer` would fetch."""

        def count() -> int:
            from qtquant_app.engine.hub.cost import cost_of

            return cost_of(checkpoint, layer)

        return once(count)

    def fetch_tensor(self, checkpoint: Checkpoint, layer: str) -> Work:
        """Work that fetches all of `layer`, and returns its name. A close ends it at once; what has come is kept."""

        def work() -> Generator[Event, None, str]:
            from qtquant_app.core.matrix import find
            from qtquant_app.engine.hub.cost import cost_of, ranges_of

            remote, left = checkpoint.remote, cost_of(checkpoint, layer)
            yield RunStarted(1, left)
            for file, start, stop in ranges_of(find(checkpoint, layer)) if remote is not None else ():
                for at in range(start, stop, AT_ONCE):
                    part = at, min(at + AT_ONCE, stop)
                    missing = remote.missing(file, *part) if remote is not None else 0
                    if missing and remote is not None:
                        remote.prefetch(file, [part])
                    yield ChunkDone(layer, missing)
            return layer

        return aside(work)

    def prepare_card(self, folder: str, base: str | None, repo: str, base_model: str = "") -> Work:
        """Work that returns what a publication of `folder` would hold: Prepared."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.publish.prepare import prepare

            return (yield from prepare(folder, base, repo=repo, base_model=base_model))

        return aside(work)

    def keep_card(self, folder: str, text: str) -> Work:
        """Work that writes `text` as the README.md of a result, and returns its path."""

        def keep() -> str:
            from qtquant_app.core.errors import WriteError
            from qtquant_app.engine.whole_file import write_file

            path = Path(folder) / "README.md"
            try:
                write_file(path, text)
            except OSError as error:
                raise WriteError(f"{path} cannot be written: {error.strerror or error}", code="write") from None
            return str(path)

        return once(keep)

    def publish(self, folder: str, destination: Destination, options: PublishOptions) -> Work:
        """Work that puts the result in `folder` on the Hub, and returns the Published."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.publish.publish import publish

            return (yield from publish(folder, destination, options))

        return work

    def unfinished_uploads(self) -> Work:
        """Work that returns the uploads that have not ended: a tuple of `engine.publish.state.Unfinished`."""

        def look() -> Any:
            from qtquant_app.engine.publish.state import unfinished

            return unfinished()

        return once(look)


def address_of(repo: str) -> str:
    """Where a browser finds a repository. For a worker."""
    from qtquant_app.engine.hub.faults import page_of

    place = page_of(repo)
    return f"{'http' if place.startswith(('127.0.0.1', 'localhost')) else 'https'}://{place}"


def _asked(question: Callable[[], Any]) -> Work:
    return aside(once(question))


def _is_whole(folder: Path) -> bool:
    """Whether all weights of a snapshot are there; a broken link counts as missing."""
    from qtquant_app.core.json_text import parse_json
    from qtquant_app.engine.foreign_files import read_bounded

    try:
        names = {path.name for path in folder.iterdir() if path.exists()}
        indices = [name for name in names if name.endswith(".safetensors.index.json")]
        if indices:
            listed = parse_json(read_bounded(folder / indices[0], 64_000_000))["weight_map"]
            return set(map(str, listed.values())) <= names
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return any(name.endswith(_WEIGHTS) for name in names)
