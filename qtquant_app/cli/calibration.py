"""`qtquant calibration`: the samples that a method would look at, told before they are used; and the options that choose them."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.calibration import DEFAULT, Calibration
from qtquant_app.core.quantities import percent, plural, shape_text

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.core.calibration import SampleShown, SamplesReport

_STANDARD = Calibration()


def add_calibration_options(verb: ArgumentParser, *, source: bool = True) -> None:
    """What methods that calibrate look at; without `source` for commands that have a --calibration already."""
    group = verb.add_argument_group("calibration")
    if source:
        group.add_argument(
            "--calibration",
            metavar="SOURCE",
            help="a file or a folder of text, JSON lines, pictures or WAV sounds; hub:ORG/NAME[:CONFIG][:SPLIT]; "
            f"`{DEFAULT}` (Python's language reference) if not given; or `random`",
        )
    group.add_argument("--samples", type=int, metavar="N", help=f"at most; {_STANDARD.samples} if not given")
    group.add_argument("--seqlen", type=int, metavar="N", help=f"tokens of each; {_STANDARD.length} if not given")
    group.add_argument(
        "--own-samples",
        type=int,
        metavar="N",
        help="samples that the model writes itself, beside the others; if not given, learned rounding of a language model that "
        "fits into memory has one and a half times as many as others, and other methods have none",
    )
    group.add_argument(
        "--chat", action="store_true", help="write text as the model's chat template does; conversations always are"
    )


def add_options(verb: ArgumentParser) -> None:
    """A model, and the samples for it."""
    verb.add_argument("model", metavar="MODEL")
    add_calibration_options(verb)
    verb.add_argument("--held-out", action="store_true", help="the other half, which evaluations judge by")
    verb.add_argument("--seed", type=int, default=0, help="of what is drawn or left to chance")


def calibration_of(options: Namespace) -> Calibration | None:
    """What the options ask for; None where they ask for nothing. Raises UsageError where the counts are out of range."""
    asked = (options.calibration, options.samples, options.seqlen, options.chat or None, options.own_samples)
    return None if all(option is None for option in asked) else _asked(options)


def _asked(options: Namespace) -> Calibration:
    return Calibration(
        DEFAULT if options.calibration is None else options.calibration,
        _STANDARD.samples if options.samples is None else options.samples,
        _STANDARD.length if options.seqlen is None else options.seqlen,
        options.chat,
        options.seed,
        own=options.own_samples,
    )


def calibration(options: Namespace) -> int:
    """Makes the samples and says what they are."""
    wanted = _asked(options)
    from qtquant_app.engine.samples import open_samples
    from qtquant_app.engine.source import open_checkpoint

    found = open_samples(open_checkpoint(options.model), wanted, held_out=options.held_out).report()
    show.document(found.to_json()) if options.json else _show(found)
    return 0


def _show(found: SamplesReport) -> None:
    say(f"{plural(found.count, 'sample')} from {printable(found.name)}")
    if found.tokens:
        each = f"{found.longest:,}" if found.shortest == found.longest else f"{found.shortest:,} to {found.longest:,}"
        say(f"{found.tokens:,} tokens, {each} in a sample")
    if found.languages:
        say("probably " + ", ".join(f"{language.name} ({percent(language.share)})" for language in found.languages[:8]))
    for entry in found.refused:
        say(f"refused: {entry.count:,}: {printable(entry.reason)}")
    for note in found.notes:
        say(f"note: {printable(note)}")
    say()
    show.table([(f"{number}.", _line(sample)) for number, sample in enumerate(found.shown, 1)])
    if found.shown:
        say("given to the model: " + ", ".join(f"{name} {shape_text(s)}" for name, s in found.shown[0].shapes.items()))


def _line(sample: SampleShown) -> str:
    text = printable(sample.text)
    return text if len(text) <= 100 else f"{text[:100]}\N{HORIZONTAL ELLIPSIS}"
