"""`qtquant upload`: puts a result on the Hub, where it is proven."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.card import add_base_options
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import bytes_text, duration_text, plural

if TYPE_CHECKING:
    from qtquant_app.core.publication import Published

_CANCELLED = 130
_MAX_CARD = 1_000_000


def add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", metavar="OUT", help="a folder that `quantize` wrote")
    verb.add_argument("repo", metavar="REPO_ID", help="org/name, or a name of your own; made where there is none")
    verb.add_argument("--private", action="store_true", help="make the repository private")
    verb.add_argument("--branch", metavar="B", default="", help="publish on this branch, made where there is none")
    verb.add_argument("--pull-request", action="store_true", help="propose it to whoever owns the repository")
    verb.add_argument("--message", metavar="TEXT", default="", help="the title of the commit")
    verb.add_argument(
        "--card", metavar="FILE", help="the card; OUT/README.md where you have edited it, else one is made"
    )
    verb.add_argument(
        "--verify",
        choices=("quick", "full"),
        default="quick",
        help="quick: every file by its hash; full: every weight against --base too",
    )
    verb.add_argument("--overwrite", action="store_true", help="replace other weights that the repository holds")
    add_base_options(verb)


def upload(options: Namespace) -> int:
    """Publishes, and prints where it stands."""
    from qtquant_app.cli.progress import drive
    from qtquant_app.core.publication import Destination, PublishOptions
    from qtquant_app.engine.publish.publish import publish

    destination = Destination(options.repo, options.branch, options.private, options.pull_request)
    wanted = PublishOptions(
        verify=options.verify,
        base=options.base,
        base_model=options.base_model,
        message=options.message,
        card=_card(options.card),
        overwrite=options.overwrite,
    )
    try:
        done = drive(publish(options.folder, destination, wanted))
    except KeyboardInterrupt:
        again = "give the same command again: what has arrived is not sent again"
        say(f"error: cancelled\nhint: {again}", stream=sys.stderr)
        return _CANCELLED
    show.document(done.to_json()) if options.json else _show(done)
    return 0


def _card(file: str | None) -> str | None:
    """The text of the card that was given. Raises UsageError where it cannot be read."""
    from qtquant_app.core.foreign_files import read_bounded

    if file is None:
        return None
    try:
        return read_bounded(Path(file), _MAX_CARD).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UsageError(f"{file} cannot be read: {reason}", hint="give a card in Markdown", code="card") from None


def _show(done: Published) -> None:
    seen = "private" if done.private else "public"
    rows = [
        ("published", done.pull_request or done.url),
        ("repository", f"{done.repo}, {seen}{f', branch {done.branch}' if done.branch else ''}"),
        ("commit", done.commit),
        ("files", f"{plural(len(done.files), 'file')}, {bytes_text(done.bytes_sent)} sent now"),
        ("time", duration_text(done.seconds)),
    ]
    rows += [("removed", printable(name)) for name in done.removed]
    show.table(rows)
