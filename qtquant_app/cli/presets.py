"""`qtquant presets`: lists them, shows one as a recipe, keeps and removes the user's own."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.errors import UsageError
from qtquant_app.core.fitting import fitted

if TYPE_CHECKING:
    from argparse import ArgumentParser

_WITH = {"recipe": "save", "runtime": "save", "replace": "save", "model": "show"}
"""Options that belong to another one."""


def add_options(verb: ArgumentParser) -> None:
    """What to do besides listing."""
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--show", metavar="NAME", help="print a preset's recipe")
    what.add_argument("--save", metavar="TITLE", help="keep the recipe of --recipe as a preset of your own")
    what.add_argument("--delete", metavar="NAME", help="remove a preset of your own")
    verb.add_argument("--model", metavar="MODEL", help="with --show: fitted to this checkpoint")
    verb.add_argument("--recipe", metavar="FILE", help="with --save: a recipe, a result, or a Hub id")
    verb.add_argument(
        "--runtime", action="append", default=[], metavar="NAME", help="with --save: a reader it is for; repeatable"
    )
    verb.add_argument("--replace", action="store_true", help="with --save: in place of one of the same name")


def presets(options: Namespace) -> int:
    """Carries out what is asked; without a word, lists them all."""
    for option, other in _WITH.items():
        if getattr(options, option) and not getattr(options, other):
            raise UsageError(f"--{option} belongs to --{other}", hint="see `qtquant presets --help`", code="usage")
    if options.show:
        return _show(options)
    if options.save:
        return _save(options)
    return _delete(options) if options.delete else _list(options)


def _list(options: Namespace) -> int:
    from qtquant_app.engine.presets import presets as listed

    rows = [entry.to_json() for entry in listed()]
    show.document({"presets": rows}) if options.json else show.presets(rows)
    return 0


def _show(options: Namespace) -> int:
    """The recipe as JSON either way: what a file for --recipe holds."""
    from qtquant_app.engine.presets import find

    recipe = find(options.show).recipe
    if options.model:
        from qtquant_app.engine.source import open_checkpoint

        recipe = fitted(recipe, open_checkpoint(options.model))
    show.document(recipe.to_json())
    return 0


def _save(options: Namespace) -> int:
    from qtquant_app.core.runtimes import find as find_runtime
    from qtquant_app.engine.presets import Listed, save_preset
    from qtquant_app.engine.recipes import read_recipe

    if not options.recipe:
        raise UsageError("a preset needs a recipe", hint="add --recipe FILE", code="usage")
    names = [find_runtime(name).name for name in options.runtime]
    kept = save_preset(options.save, read_recipe(options.recipe), names, replace=options.replace)
    row = Listed(kept.name, kept).to_json()
    show.document(row) if options.json else say(f"saved the preset {kept.name}: {printable(kept.title)}")
    return 0


def _delete(options: Namespace) -> int:
    from qtquant_app.engine.presets import delete_preset

    delete_preset(options.delete)
    show.document({"deleted": options.delete}) if options.json else say(f"deleted the preset {options.delete}")
    return 0
