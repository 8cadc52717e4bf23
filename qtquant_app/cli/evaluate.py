"""`qtquant evaluate`: a result beside its original, on a text."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import figure

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.core.evaluation import Evaluation


def add_options(verb: ArgumentParser) -> None:
    """What is evaluated, against what, on what."""
    verb.add_argument("folder", metavar="OUT", help="a folder that `quantize` wrote")
    verb.add_argument("--base", metavar="MODEL", required=True, help="the original")
    verb.add_argument(
        "--text", metavar="FILE", help="whose second half is read; Python's language reference if not given"
    )
    verb.add_argument("--windows", type=int, metavar="N", help="parts of the text, at most; 16 if not given")
    verb.add_argument("--seqlen", type=int, metavar="N", help="tokens of each; 512 if not given")
    verb.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")


def evaluate(options: Namespace) -> int:
    """Runs both models and shows what comes of it."""
    from qtquant_app.engine.evaluate import SEQLEN, WINDOWS
    from qtquant_app.engine.evaluate import evaluate as compared
    from qtquant_app.engine.text import BUILT_IN

    windows = WINDOWS if options.windows is None else options.windows
    seqlen = SEQLEN if options.seqlen is None else options.seqlen
    if windows < 1 or seqlen < 2:
        raise UsageError(
            f"{windows} windows of {seqlen} tokens predict nothing",
            hint="give --windows 1 or more, and --seqlen 2 or more",
            code="usage",
        )
    found: Evaluation = drive(
        compared(
            options.folder,
            options.base,
            text=options.text or BUILT_IN,
            windows=windows,
            seqlen=seqlen,
            device=options.device,
        )
    )
    show.document(found.to_json()) if options.json else _show(found)
    return 0


def _show(found: Evaluation) -> None:
    say(
        f"{printable(found.output)} beside {printable(found.base)}, {found.tokens:,} tokens of {printable(found.text)}\n"
    )
    rows = (
        ("perplexity of the original", figure(found.base_perplexity)),
        ("perplexity", figure(found.perplexity)),
        ("KL divergence, nats a token", f"{figure(found.kl)} \N{PLUS-MINUS SIGN} {found.kl_interval:.2g}"),
        ("99% of tokens below", figure(found.kl_p99)),
        ("same likeliest token", f"{100 * found.top1_agreement:.2f}%"),
    )
    show.table(rows, right=(1,))
    if found.activations != "none":
        say(f"inputs of its layers rounded to {found.activations}, token by token")
