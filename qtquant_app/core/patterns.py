"""Patterns on module names: a glob, or `re:` and a regular expression."""

from __future__ import annotations

import re
import warnings
from fnmatch import translate
from functools import cached_property, lru_cache
from glob import escape
from typing import Protocol

from qtquant_app.core.errors import UsageError
from qtquant_app.core.escaping import shortened, visible
from qtquant_app.core.json_text import shown
from qtquant_app.core.linear_match import LinearMatcher, NotRegularError, ambiguity

MOST_CHARACTERS = 200_000
"""Of one pattern: thousands of modules named one by one. Python's compiler takes some hundred bytes for each."""

_QUICK, _BEARABLE = 50_000, 10_000_000
"""Steps of Python's matcher on one name: it is used up to the first; up to the second where nothing else can be."""


warnings.filterwarnings("ignore", "Possible ", FutureWarning)  # of a set within a set: foreign words, on stderr


class Matcher(Protocol):
    """What patterns are compiled to. What each returns is true where the name fits."""

    def match(self, name: str, /) -> object: ...
    def search(self, name: str, /) -> object: ...
    def fullmatch(self, name: str, /) -> object: ...


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Matcher:
    """The pattern, ready to match. Raises UsageError where it is malformed, or where matching it could take for ever.

    A recipe may come from anyone, and Python's matcher, which cannot be stopped, takes years over `(a+)+b` and a name of forty
    letters. Expressions that may do so are matched in linear time instead, where they can be.
    """
    if not isinstance(pattern, str) or not pattern:
        raise UsageError("an empty pattern matches nothing", hint="write a glob like *.mlp.*", code="pattern")
    if len(pattern) > MOST_CHARACTERS:
        raise UsageError(
            f"the pattern {shown(pattern)} is {len(pattern):,} characters long",
            hint="write several rules instead",
            code="pattern",
        )
    if not pattern.startswith("re:"):
        return re.compile(translate(pattern))
    try:
        expression = re.compile(pattern[3:])
        power = ambiguity(pattern[3:])
        return expression if power == 0 else _Guarded(expression, power)
    except NotRegularError:
        raise _endless(pattern) from None
    except (re.error, OverflowError, RecursionError, ValueError) as error:  # the last of a count of thousands of digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else shortened(visible(str(error)), 200)
        raise UsageError(
            f"the pattern {shown(pattern)} is not a regular expression: {reason}",
            hint="a pattern without `re:` is a glob, such as *.mlp.*",
            code="pattern",
        ) from None


class _Guarded:
    """An expression whose cost grows with a power of a name's length: each name goes to the matcher that is done soon."""

    def __init__(self, expression: re.Pattern[str], power: float) -> None:
        self._expression = expression
        self._power = power
        if power == float("inf"):
            _ = self._linear  # where there is none, it is refused now

    def match(self, name: str, /) -> object:
        if self._steps(name, 0) <= _QUICK:
            return self._expression.match(name)
        return self._slow(name, search=False)

    def search(self, name: str, /) -> object:
        if self._steps(name, 1) <= _QUICK:
            return self._expression.search(name)
        return self._slow(name, search=True)

    def fullmatch(self, name: str, /) -> object:
        if self._steps(name, 0) <= _BEARABLE:
            return self._expression.fullmatch(name)
        raise _endless(f"re:{self._expression.pattern}")

    def _steps(self, name: str, more: int) -> float:
        return float(len(name) or 1) ** min(self._power + more, 50.0) if len(name) > 1 or self._power > 50 else 1.0

    def _slow(self, name: str, *, search: bool) -> object:
        try:
            return (self._linear_search if search else self._linear).match(name)
        except NotRegularError:
            if self._steps(name, search) > _BEARABLE:
                raise _endless(f"re:{self._expression.pattern}") from None
        return self._expression.search(name) if search else self._expression.match(name)

    @cached_property
    def _linear(self) -> LinearMatcher:
        return LinearMatcher(self._expression.pattern)

    @cached_property
    def _linear_search(self) -> LinearMatcher:
        return LinearMatcher(self._expression.pattern, anywhere=True)


def _endless(pattern: str) -> UsageError:
    return UsageError(
        f"the pattern {shown(pattern)} could take for ever to match: it repeats what repeats",
        hint="leave out a + or * around another, or write a glob, such as *.mlp.*",
        code="pattern",
    )


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` names the module `name`: a glob covers all of it, a regular expression starts at its start.

    A regular expression is matched as compressed-tensors does (`re.match`), so that an ignore list means the same there.
    """
    found = compiled(pattern)
    return bool(found.match(name) if pattern.startswith("re:") else found.fullmatch(name))


def literal(name: str) -> str:
    """The glob that names `name` and nothing else: brackets, stars and question marks mean themselves."""
    return f"[r]{escape(name[1:])}" if name.startswith("re:") else escape(name)
