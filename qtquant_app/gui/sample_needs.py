"""Whether a recipe's methods look at samples. Names are looked up in a table, so the window may ask at any time."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.errors import UsageError
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme


def sampling_methods(recipe: Recipe) -> tuple[str, ...]:
    """The titles of the recipe's methods that look at samples, each once, in the recipe's order."""
    schemes = [recipe.default, *(rule.scheme for rule in recipe.rules if isinstance(rule.scheme, Scheme))]
    found = (_title(name) for name in dict.fromkeys(scheme.method for scheme in schemes))
    return tuple(title for title in found if title)


def start_note(schemes: Iterable[Scheme]) -> str:
    """What figures of tensors by themselves have to say of methods that look at samples; empty where there are none."""
    names = [name for name in dict.fromkeys(scheme.method for scheme in schemes) if _title(name)]
    return f"{', '.join(names)} without samples: what a run starts from" if names else ""


def _title(name: str) -> str:
    """What a method is called; empty for one that looks at nothing, or that nobody knows."""
    from qtquant_app.quant.methods import find, short_title

    try:
        return short_title(name) if find(name).needs_calibration else ""
    except UsageError:
        return ""
