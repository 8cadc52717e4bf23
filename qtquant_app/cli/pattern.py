"""`qtquant pattern`: the one pattern that names just the modules that are asked for."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.core.choosing import Chosen, Wish, choosable, choose
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.scheme_label import parse_label

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.core.checkpoint import Checkpoint

_BLOCKS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def add_options(verb: ArgumentParser) -> None:
    """What may be asked for; several narrow each other."""
    verb.add_argument("--kind", metavar="K", help="of this kind, such as linear, expert or head")
    verb.add_argument(
        "--blocks", metavar="N-M", help="in these blocks, both ends included; a number alone is one block"
    )
    verb.add_argument(
        "--place", metavar="PLACE", help="at this place of their blocks, such as mlp.down_proj; or a glob"
    )
    verb.add_argument("--worst", type=int, metavar="N", help="the N with the largest error under --scheme")
    verb.add_argument("--below", type=float, metavar="DB", help="with an SQNR of less than this under --scheme")
    verb.add_argument("--scheme", metavar="LABEL", help='what the errors are of, such as "W4 g128 sym"')
    verb.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")


def pattern(options: Namespace) -> int:
    """Prints the pattern alone, so that a shell can put it into `--rule`."""
    from qtquant_app.engine.source import open_checkpoint

    _check(options)
    checkpoint = open_checkpoint(options.model)
    chosen = _chosen(options, checkpoint)
    if not chosen:
        raise PlanError(
            f"nothing in {checkpoint.label} that can be quantized is like that",
            hint="ask for less, or see `qtquant inspect`",
            code="no-match",
        )
    modules = tuple(dict.fromkeys(tensor.module for tensor in chosen))
    written = pattern_for(modules, checkpoint.quantizable_modules)
    if options.json:
        sizes = sum(tensor.nbytes for tensor in chosen)
        show.document({"pattern": written, "matches": len(chosen), "bytes": sizes, "modules": list(modules)})
    else:
        say(printable(written))
    return 0


def _check(options: Namespace) -> None:
    """Raises UsageError where nothing is asked for, or errors under no scheme, or a scheme for no errors."""
    by_errors = options.worst is not None or options.below is not None
    if not by_errors and not (options.kind or options.blocks or options.place):
        raise UsageError("a pattern for what?", hint="say --kind, --blocks, --place, --worst or --below", code="usage")
    if by_errors != (options.scheme is not None):
        what = "--worst and --below need a scheme" if by_errors else "--scheme is for --worst and --below"
        raise UsageError(what, hint='such as --worst 10 --scheme "W4 g128 sym"', code="usage")


def _chosen(options: Namespace, checkpoint: Checkpoint) -> Chosen:
    blocks = _range(options.blocks) if options.blocks else None
    wish = Wish(options.kind or "", options.place or "", blocks, None, options.worst, options.below)
    candidates = choose(choosable(checkpoint), replace(wish, worst=None, below=None))
    return choose(candidates, wish, _errors(options, checkpoint)) if wish.by_error and candidates else candidates


def _range(text: str) -> tuple[int, int]:
    found = _BLOCKS.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no range of blocks", hint="write 3-7, or 3 for one block", code="usage")
    first, last = int(found[1]), int(found[2] or found[1])
    return min(first, last), max(first, last)


def _errors(options: Namespace, checkpoint: Checkpoint) -> dict[str, float]:
    """The SQNR of every tensor under --scheme, from a scan: measured once, then remembered."""
    from qtquant_app.engine.scan import scan

    scheme = parse_label(options.scheme)
    report = drive(scan(checkpoint, [scheme], device=options.device))
    known = ((tensor.name, tensor.report(scheme)) for tensor in report.tensors)
    return {name: found.errors.sqnr_db for name, found in known if found is not None}
