"""`qtquant plan` with a budget: the best mix of schemes for a size."""

from __future__ import annotations

from argparse import BooleanOptionalAction, Namespace
from collections.abc import Generator
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.cli.units import parse_size
from qtquant_app.core.budget import Assignment, Budget, Treatment
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import bytes_text, figure, plural
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Memory, Target

if TYPE_CHECKING:
    from argparse import ArgumentParser, _ArgumentGroup

    from qtquant_app.core.checkpoint import Checkpoint
    from qtquant_app.core.events import Event

_KEEP = "keep"
_TARGETS = ("target_size", "target_bpw", "target_memory", "target_quality")
_MEMORY = ("context", "sequences", "kv_bits")
_OTHERS = ("allow", "keep", "check", "explain")
_CONTEXT = 8192
_SCHEME = ("bits", "type", "strategy", "group_size", "symmetric", "method", "activations")


def add_options(plan: ArgumentParser) -> None:
    """The words of `plan` that set a budget."""
    group = plan.add_argument_group("budget")
    target = group.add_mutually_exclusive_group()
    target.add_argument("--target-size", metavar="SIZE", help="find the best mix that takes no more, such as 4.2GB")
    target.add_argument(
        "--target-bpw", type=float, metavar="BITS", help="find the best mix of so many bits per weight, such as 3.5"
    )
    target.add_argument(
        "--target-memory", metavar="SIZE", help="find the best mix that runs on a card of this memory, such as 8GB"
    )
    target.add_argument(
        "--target-quality",
        metavar="LABEL",
        help='find the smallest mix as good as this scheme for all, such as "W4 g64 sym", or of this predicted error',
    )
    _add_memory(group)
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="LABEL",
        help='a scheme to choose from, such as "W4 g64 asym mse", or keep; repeatable; ten that suit --runtime if not given',
    )
    group.add_argument("--keep", action="append", default=[], metavar="PATTERN", help="modules to lock; repeatable")
    _add_text(group)
    group.add_argument("--explain", action="store_true", help="say why each tensor gets what it gets")


def _add_text(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--calibration",
        metavar="FILE",
        help="let the model read the first half of this text, or of `default`, and predict from what that shows",
    )
    group.add_argument(
        "--check",
        action=BooleanOptionalAction,
        default=None,
        help="run the mix and one scheme for all on the other half, and keep the better; done with --calibration",
    )


def _add_memory(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--context",
        type=int,
        metavar="TOKENS",
        help=f"with --target-memory: tokens to leave room for; {_CONTEXT} if not given",
    )
    group.add_argument("--sequences", type=int, metavar="N", help="with --target-memory: how many of them at once; 1")
    group.add_argument(
        "--kv-bits",
        type=int,
        choices=(4, 8, 16),
        help="with --target-memory: bits of the keys and values kept of them; 16",
    )


def wanted(options: Namespace) -> bool:
    """Whether a budget is asked for. Raises UsageError where its other options come without one, or contradict it."""
    memory = [name for name in _MEMORY if getattr(options, name) is not None]
    if memory and options.target_memory is None:
        raise UsageError(
            f"--{memory[0].replace('_', '-')} belongs to --target-memory",
            hint="add the memory of a card, such as --target-memory 8GB",
            code="usage",
        )
    if all(getattr(options, name) is None for name in _TARGETS):
        given = [name for name in _OTHERS if getattr(options, name)]
        if given:
            raise UsageError(
                f"--{given[0]} belongs to a budget",
                hint="add --target-size 4.2GB, --target-bpw 3.5, --target-memory 8GB or --target-quality 'W4 g64 sym'",
                code="usage",
            )
        return False
    words = [name for name in _SCHEME if getattr(options, name) is not None]
    if words:
        raise UsageError(
            f"--{words[0].replace('_', '-')} and a budget contradict each other: the budget chooses the scheme",
            hint='say what it may choose from, such as --allow "W4 g64 asym mse"',
            code="usage",
        )
    return True


def best(options: Namespace) -> tuple[Budget, Checkpoint]:
    """The mix that the options ask for, and the checkpoint that it is for."""
    from qtquant_app.cli.opening import opened

    checkpoint = opened(options)
    return drive(_found(options, checkpoint, _target(options))), checkpoint


def _found(options: Namespace, checkpoint: Checkpoint, target: Target) -> Generator[Event, None, Budget]:
    from qtquant_app.cli.recipe import recipe_of
    from qtquant_app.engine.budget import schemes_for, solve, weigh
    from qtquant_app.engine.budget_proof import check
    from qtquant_app.engine.text import BUILT_IN

    treatments = [_treatment(text) for text in options.allow]
    measured = yield from weigh(
        checkpoint,
        recipe_of(options, checkpoint),
        schemes=treatments or schemes_for(options.runtime),
        also=() if target.like is None else (target.like,),
        locked=options.keep,
        runtimes=options.runtime,
        tensor_parallel=options.tensor_parallel,
        device=options.device,
        max_memory=parse_size(options.max_memory) if options.max_memory else None,
        seed=options.seed,
        calibration=options.calibration or "",
    )
    found = solve(measured, target)
    if options.check is False or not (options.check or options.calibration):
        return found
    return (yield from check(measured, found, text=options.calibration or BUILT_IN))


def _target(options: Namespace) -> Target:
    if options.target_size is not None:
        return Target(bytes=parse_size(options.target_size))
    if options.target_memory is not None:
        given = {name: getattr(options, name) for name in _MEMORY if getattr(options, name) is not None}
        return Target(memory=Memory(parse_size(options.target_memory), **{"context": _CONTEXT, **given}))
    if options.target_quality is not None:
        return _quality(options.target_quality)
    return Target(bits_per_weight=options.target_bpw)


def _quality(text: str) -> Target:
    """A number is a predicted error; anything else the label of a scheme."""
    try:
        error = float(text)
    except ValueError:
        return Target(like=parse_label(text))
    return Target(error=error)


def _treatment(text: str) -> Treatment:
    return "keep" if text.strip().lower() == _KEEP else parse_label(text)


def show_budget(found: Budget, explain: bool) -> None:
    """What the mix is made of, beside the uniform schemes; with `explain`, why each tensor gets what it gets."""
    unit = " nats a token" if found.calibrated else ""
    say(f"\nbudget: {found.target.text}; predicted error {figure(found.error)}{unit}")
    if found.memory:
        say(found.memory.text)
        say(f"cache: {found.memory.counted}")
        say(f"overhead: {found.memory.overhead.text}")
    if found.price:
        size, unit = (1e6, "MB") if 1e6 * found.price < found.error / 2 else (1e3, "kB")
        say(f"another {unit} would remove {figure(size * found.price)} of it")
    _show_mix(found)
    if found.proof:
        say(f"\n{found.proof.sentence}")
    if explain:
        say()
        show.table(
            [("tensors", "choice", "size", "error", "why")]
            + [(_name(a), a.label, bytes_text(a.bytes), figure(a.error), a.reason) for a in found.assignments],
            right=(2, 3),
        )


def _show_mix(found: Budget) -> None:
    """How many modules get what, beside the uniform schemes."""
    sums: dict[str, tuple[int, int, float]] = {}
    for one in found.assignments:
        modules, size, error = sums.get(one.label, (0, 0, 0.0))
        sums[one.label] = modules + len(one.modules), size + one.bytes, error + one.error
    say()
    show.table(
        [("choice", "modules", "size", "error")]
        + [(label, modules, bytes_text(size), figure(error)) for label, (modules, size, error) in sums.items()],
        right=(1, 2, 3),
    )
    if found.uniform:
        say()
        show.table(
            [("one scheme for all", "output", "predicted error")]
            + [(p.label, bytes_text(p.bytes), figure(p.error)) for p in sorted(found.uniform, key=lambda p: p.bytes)],
            right=(1, 2),
        )


def _name(one: Assignment) -> str:
    more = len(one.modules) - 1
    return printable(one.modules[0]) + (f" and {plural(more, 'more', 'more')}" if more else "")
