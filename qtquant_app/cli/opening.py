"""The checkpoint that the words of a command line name."""

from __future__ import annotations

import sys
from argparse import Namespace

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.plan import Plan


def opened(options: Namespace) -> Checkpoint:
    """MODEL, with the statistics of --importance where it is given. Raises SourceError."""
    from qtquant_app.engine.source import open_checkpoint

    checkpoint = open_checkpoint(options.model)
    path = getattr(options, "importance", None)
    if not path:
        return checkpoint
    from qtquant_app.engine.importance import with_statistics

    return with_statistics(checkpoint, path)


def say_cost(checkpoint: Checkpoint, layer: str) -> None:
    """Says on stderr what will be fetched of a model that is not here. Raises UsageError where it has no such layer."""
    if checkpoint.remote is None:
        return
    from qtquant_app.cli.progress import say
    from qtquant_app.core.quantities import bytes_text
    from qtquant_app.engine.hub.cost import cost_of

    cost = cost_of(checkpoint, layer)
    if cost:
        say(f"fetching {bytes_text(cost)} of {checkpoint.label} from the Hub", stream=sys.stderr)


def say_fetched(made: Plan) -> None:
    """Says on stderr what a run will fetch, where it fetches anything."""
    if made.download_bytes:
        from qtquant_app.cli.progress import say
        from qtquant_app.core.quantities import bytes_text

        say(f"fetching {bytes_text(made.download_bytes)} of {made.label} from the Hub", stream=sys.stderr)


def say_reading(checkpoint: Checkpoint) -> None:
    """Says on stderr what reading the whole of a model will fetch, where it is not here."""
    from qtquant_app.engine.fetching.room import download_bytes

    most = download_bytes(checkpoint)
    if most:
        from qtquant_app.cli.progress import say
        from qtquant_app.core.quantities import bytes_text

        say(f"fetching up to {bytes_text(most)} of {checkpoint.label} from the Hub", stream=sys.stderr)
