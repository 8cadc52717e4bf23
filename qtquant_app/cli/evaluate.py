"""`qtquant evaluate`: a result beside its original, on a text, or whatever the model takes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import figure, percent

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.core.continuation import Continuation, Segment
    from qtquant_app.core.evaluation import Evaluation, Speed

_LONGEST_PROMPT = 60


def add_options(verb: ArgumentParser) -> None:
    """What is evaluated, against what, on what."""
    verb.add_argument("folder", metavar="OUT", help="a folder that `quantize` wrote, or any quantized checkpoint")
    verb.add_argument("--base", metavar="MODEL", required=True, help="the original")
    verb.add_argument(
        "--text",
        metavar="FILE",
        help="whose second half is read: a text, a folder of texts, pictures or sounds, or `random`; what is built in if not given",
    )
    verb.add_argument(
        "--windows", type=int, metavar="N", help="parts of the text, or samples, at most; 16 if not given"
    )
    verb.add_argument("--seqlen", type=int, metavar="N", help="tokens of each; 512 if not given")
    verb.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="let both go on with it, side by side; repeatable; `default` for a few that are built in",
    )
    verb.add_argument("--new-tokens", type=int, default=32, metavar="N", help="tokens after a prompt; 32 if not given")
    verb.add_argument("--speed", action="store_true", help="time a result of the plain format in qtquant_app.load")
    way = verb.add_mutually_exclusive_group()
    way.add_argument("--streamed", action="store_true", help="run both block by block, though they would fit in memory")
    way.add_argument("--whole", action="store_true", help="run both whole in memory")
    verb.add_argument("--no-record", action="store_true", help="do not put the numbers into OUT/qtquant.json")
    verb.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")


def evaluate(options: Namespace) -> int:
    """Runs both models and shows what comes of it."""
    from qtquant_app.engine.evaluate import SEQLEN, WINDOWS
    from qtquant_app.engine.evaluate import evaluate as compared
    from qtquant_app.engine.text import BUILT_IN

    windows = WINDOWS if options.windows is None else options.windows
    seqlen = SEQLEN if options.seqlen is None else options.seqlen
    _check(windows, seqlen, options.new_tokens)
    found: Evaluation = drive(
        compared(
            options.folder,
            options.base,
            text=options.text or BUILT_IN,
            windows=windows,
            seqlen=seqlen,
            device=options.device,
            prompts=options.prompt,
            new_tokens=options.new_tokens,
            streamed=True if options.streamed else False if options.whole else None,
            speed=options.speed,
            record=not options.no_record,
        )
    )
    show.document(found.to_json()) if options.json else _show(found)
    return 0


def _check(windows: int, seqlen: int, new_tokens: int) -> None:
    from qtquant_app.engine.evaluation.continuing import MOST_TOKENS

    if windows < 1 or seqlen < 2:
        raise UsageError(
            f"{windows} windows of {seqlen} tokens predict nothing",
            hint="give --windows 1 or more, and --seqlen 2 or more",
            code="usage",
        )
    if not 1 <= new_tokens <= MOST_TOKENS:
        raise UsageError(
            f"{new_tokens} tokens after a prompt are none to show", hint=f"give 1 to {MOST_TOKENS:,}", code="usage"
        )


def _show(found: Evaluation) -> None:
    of = f"{found.tokens:,} {'tokens' if found.kind == 'text' and found.kl is not None else 'positions'}"
    of = of if found.kl is not None else f"{found.windows:,} samples"
    say(f"{printable(found.output)} beside {printable(found.base)}, {of} of {printable(found.text)}\n")
    if rows := list(_predictions(found)):
        show.table(rows, right=(1,))
    others = [one for one in found.outputs if one.name != "logits" or found.perplexity is None]
    if others:
        titles = ("output", "cosine", "relative error")
        show.table(
            [titles, *((one.name, f"{one.cosine:.6f}", percent(one.relative_error)) for one in others)], right=(1, 2)
        )
    if found.activations != "none":
        say(f"inputs of its layers rounded to {found.activations}, token by token")
    if found.speed is not None:
        _show_speed(found.speed)
    for one in found.continuations:
        _show_continuation(one)


def _predictions(found: Evaluation) -> Iterator[tuple[str, str]]:
    if found.perplexity is not None and found.base_perplexity is not None:
        yield "perplexity of the original", figure(found.base_perplexity)
        yield "perplexity", figure(found.perplexity)
    if found.kl is not None and found.kl_p99 is not None and found.top1_agreement is not None:
        text = found.kind == "text"
        interval = f" \N{PLUS-MINUS SIGN} {found.kl_interval:.2g}" if found.kl_interval else ""
        yield f"KL divergence, nats a {'token' if text else 'position'}", figure(found.kl) + interval
        yield f"99% of {'tokens' if text else 'positions'} below", figure(found.kl_p99)
        yield f"same likeliest {'token' if text else 'class'}", f"{100 * found.top1_agreement:.2f}%"


def _show_speed(speed: Speed) -> None:
    say(
        f"\nin qtquant_app.load on {speed.device}, {speed.dtype}, tokens a second (the original in transformers beside it)"
    )
    show.table(
        [
            ("", "this", "original"),
            ("reading", f"{speed.reading:,.1f}", f"{speed.base_reading:,.1f}"),
            ("writing", f"{speed.writing:,.1f}", f"{speed.base_writing:,.1f}"),
        ],
        right=(1, 2),
    )


def _show_continuation(one: Continuation) -> None:
    prompt = one.prompt if len(one.prompt) <= _LONGEST_PROMPT else f"{one.prompt[:_LONGEST_PROMPT]}..."
    same = "the same" if one.first_difference is None else f"they part at token {one.first_difference + 1}"
    say(f"\n{_line(prompt)} ({same}; {one.same_tokens} of {one.tokens} tokens in both; the others in brackets)")
    say(f"  original: {_marked(one.base)}")
    say(f"  this:     {_marked(one.own)}")


def _marked(segments: Iterable[Segment]) -> str:
    return "".join(_line(part.text) if part.same else f"[{_line(part.text)}]" for part in segments)


def _line(text: str) -> str:
    return printable(text.replace("\n", "\\n"))
