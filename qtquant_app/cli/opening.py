"""The checkpoint that the words of a command line name."""

from __future__ import annotations

from argparse import Namespace

from qtquant_app.core.checkpoint import Checkpoint


def opened(options: Namespace) -> Checkpoint:
    """MODEL, with the statistics of --importance where it is given. Raises SourceError."""
    from qtquant_app.engine.source import open_checkpoint

    checkpoint = open_checkpoint(options.model)
    path = getattr(options, "importance", None)
    if not path:
        return checkpoint
    from qtquant_app.engine.importance import with_statistics

    return with_statistics(checkpoint, path)
