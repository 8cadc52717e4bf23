"""`qtquant statistics`: which columns of a model's layers matter, as a file for --importance."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.core.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.engine.gather_statistics import Gathered


def add_options(verb: ArgumentParser) -> None:
    """What reads what, and where the file goes."""
    verb.add_argument("model", metavar="MODEL")
    verb.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write, such as imatrix.gguf")
    verb.add_argument(
        "--text", metavar="FILE", help="whose first half is read; Python's language reference if not given"
    )
    verb.add_argument("--windows", type=int, metavar="N", help="parts of the text, at most; 64 if not given")
    verb.add_argument("--seqlen", type=int, metavar="N", help="tokens of each; 512 if not given")
    verb.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")


def statistics(options: Namespace) -> int:
    """Runs the model over the text and says what was written."""
    from qtquant_app.engine.gather_statistics import SEQLEN, WINDOWS, gather_statistics
    from qtquant_app.engine.source import open_checkpoint
    from qtquant_app.engine.text import BUILT_IN

    windows = WINDOWS if options.windows is None else options.windows
    seqlen = SEQLEN if options.seqlen is None else options.seqlen
    if windows < 1 or seqlen < 1:
        raise UsageError(
            f"{windows} windows of {seqlen} tokens say nothing", hint="give 1 or more of each", code="usage"
        )
    found: Gathered = drive(
        gather_statistics(
            open_checkpoint(options.model),
            options.output,
            source=options.text or BUILT_IN,
            windows=windows,
            seqlen=seqlen,
            device=options.device,
        )
    )
    if options.json:
        show.document(found.to_json())
        return 0
    say(f"{printable(found.output)}: {found.layers:,} layers, {found.tokens:,} tokens of {printable(found.text)}")
    return 0
