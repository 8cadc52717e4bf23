"""`qtquant plan` with a budget: the best mix of schemes for a size."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable
from qtquant_app.cli.units import parse_size
from qtquant_app.core.budget import Assignment, Budget, Treatment
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import bytes_text, figure, plural
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Target

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from qtquant_app.core.checkpoint import Checkpoint

_KEEP = "keep"
_SCHEME = ("bits", "type", "strategy", "group_size", "symmetric", "method", "activations")


def add_options(plan: ArgumentParser) -> None:
    """The words of `plan` that set a budget."""
    group = plan.add_argument_group("budget")
    size = group.add_mutually_exclusive_group()
    size.add_argument("--target-size", metavar="SIZE", help="find the best mix that takes no more, such as 4.2GB")
    size.add_argument(
        "--target-bpw", type=float, metavar="BITS", help="find the best mix of so many bits per weight, such as 3.5"
    )
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="LABEL",
        help='a scheme to choose from, such as "W4 g64 asym mse", or keep; repeatable; ten schemes if not given',
    )
    group.add_argument("--keep", action="append", default=[], metavar="PATTERN", help="modules to lock; repeatable")
    group.add_argument("--explain", action="store_true", help="say why each tensor gets what it gets")


def wanted(options: Namespace) -> bool:
    """Whether a budget is asked for. Raises UsageError where its other options come without one, or contradict it."""
    if options.target_size is None and options.target_bpw is None:
        given = [name for name in ("allow", "keep", "explain") if getattr(options, name)]
        if given:
            raise UsageError(
                f"--{given[0]} belongs to a budget",
                hint="add --target-size 4.2GB or --target-bpw 3.5",
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
    from qtquant_app.cli.recipe import recipe_of
    from qtquant_app.engine.budget import ALLOWED, budget
    from qtquant_app.engine.source import open_checkpoint

    target, treatments = _target(options), [_treatment(text) for text in options.allow]
    checkpoint = open_checkpoint(options.model)
    found = budget(
        checkpoint,
        recipe_of(options, checkpoint),
        target,
        schemes=treatments or ALLOWED,
        locked=options.keep,
        device=options.device,
        max_memory=parse_size(options.max_memory) if options.max_memory else None,
        seed=options.seed,
    )
    return drive(found), checkpoint


def _target(options: Namespace) -> Target:
    if options.target_size is not None:
        return Target(bytes=parse_size(options.target_size))
    return Target(bits_per_weight=options.target_bpw)


def _treatment(text: str) -> Treatment:
    return "keep" if text.strip().lower() == _KEEP else parse_label(text)


def show_budget(found: Budget, explain: bool) -> None:
    """What the mix is made of, beside the uniform schemes; with `explain`, why each tensor gets what it gets."""
    print(f"\nbudget {found.target.text}: predicted error {figure(found.error)}")
    if found.price:
        print(f"another MB would remove {figure(1e6 * found.price)} of it")
    _show_mix(found)
    if explain:
        print()
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
    print()
    show.table(
        [("choice", "modules", "size", "error")]
        + [(label, modules, bytes_text(size), figure(error)) for label, (modules, size, error) in sums.items()],
        right=(1, 2, 3),
    )
    if found.uniform:
        print()
        show.table(
            [("one scheme for all", "output", "predicted error")]
            + [(p.label, bytes_text(p.bytes), figure(p.error)) for p in sorted(found.uniform, key=lambda p: p.bytes)],
            right=(1, 2),
        )


def _name(one: Assignment) -> str:
    more = len(one.modules) - 1
    return printable(one.modules[0]) + (f" and {plural(more, 'more', 'more')}" if more else "")
