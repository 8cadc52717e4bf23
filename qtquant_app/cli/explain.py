"""One weight, explained, as text."""

from __future__ import annotations

from qtquant_app.cli.progress import printable, say
from qtquant_app.core.derivation import full_text
from qtquant_app.core.explanation import Explanation


def explanation(found: Explanation) -> None:
    """Every step, with its numbers and bits."""
    for line in full_text(found).splitlines():
        say(printable(line))
