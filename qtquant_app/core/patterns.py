"""Patterns on module names: a glob, or `re:` and a regular expression."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from glob import escape

from qtquant_app.core.errors import UsageError


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression that must match the whole name. Raises UsageError where it is malformed."""
    if not isinstance(pattern, str) or not pattern:
        raise UsageError("an empty pattern matches nothing", hint="write a glob like *.mlp.*", code="pattern")
    if not pattern.startswith("re:"):
        return re.compile(translate(pattern))
    try:
        return re.compile(pattern[3:])
    except re.error as error:
        raise UsageError(
            f"the pattern {pattern!r} is not a regular expression: {error}",
            hint="a pattern without `re:` is a glob, such as *.mlp.*",
            code="pattern",
        ) from None


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` names the module `name`: a glob covers all of it, a regular expression starts at its start.

    A regular expression is matched as compressed-tensors does (`re.match`), so that an ignore list means the same there.
    """
    found = compiled(pattern)
    return (found.match(name) if pattern.startswith("re:") else found.fullmatch(name)) is not None


def literal(name: str) -> str:
    """The glob that names `name` and nothing else: brackets, stars and question marks mean themselves."""
    return f"[r]{escape(name[1:])}" if name.startswith("re:") else escape(name)
