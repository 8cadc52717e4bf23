"""The one error tree. Front ends print `error: MESSAGE` and `hint: HINT`; nothing else reaches the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "DeviceError",
    "EvaluateError",
    "PlanError",
    "PublishError",
    "QtQuantError",
    "RuleError",
    "RuleFault",
    "SourceError",
    "UsageError",
    "VerifyError",
    "WriteError",
]


class QtQuantError(Exception):
    """What happened, in one sentence that names the tensor or the file.

    `hint` says what to do about it. `code` is a stable word for scripts and tests. `exit_status` is what the command
    line returns: 2 where the input or the request is at fault, 1 where the work failed.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "", code: str = "error") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.code)


def _rebuild(kind: type[QtQuantError], message: str, hint: str, code: str) -> QtQuantError:
    return kind(message, hint=hint, code=code)


class UsageError(QtQuantError):
    """The request itself is malformed: an option, a recipe file, a scheme that cannot exist."""

    exit_status = 2


class SourceError(QtQuantError):
    """The checkpoint cannot be read, or says one thing and holds another."""

    exit_status = 2


class PlanError(QtQuantError):
    """The plan is refused before any work: a shape, a pattern, a format's constraint, disk or memory."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class RuleFault:
    """What is wrong with one pattern of a recipe, and what would mend it."""

    pattern: str
    rule: int | None
    """Which rule it is, from 0; None for an ignore pattern."""
    text: str
    hint: str
    code: str
    patterns: tuple[str, ...] = ()
    """Patterns that could stand in its place."""
    schemes: tuple[str, ...] = ()
    """Labels of schemes that it could give instead."""
    before: int | None = None
    """The rule that it would have to stand before, to apply."""


class RuleError(PlanError):
    """The plan is refused because of rules or ignore patterns of the recipe: every one at fault is in `faults`."""

    def __init__(self, faults: Sequence[RuleFault]) -> None:
        first, *others = faults
        more = f"; refused too: {', '.join(repr(fault.pattern) for fault in others)}" if others else ""
        super().__init__(first.text + more, hint=first.hint, code=first.code)
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[object, ...]:
        return RuleError, (self.faults,)


class DeviceError(QtQuantError):
    """The device is missing, or ran out of memory."""


class WriteError(QtQuantError):
    """An output file could not be written."""


class VerifyError(QtQuantError):
    """A written file, reopened, is not what it should be."""


class EvaluateError(QtQuantError):
    """The model could not be run for evaluation."""


class PublishError(QtQuantError):
    """The Hub refused, or could not be reached."""
