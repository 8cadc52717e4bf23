"""`qtquant card`: the model card of a result, made from what was measured."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say


def add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", metavar="OUT", help="a folder that `quantize` wrote")
    verb.add_argument("-o", "--output", metavar="FILE", help="write the card there, such as OUT/README.md")
    verb.add_argument("--repo", metavar="ORG/NAME", default="", help="where it will stand, for the lines that load it")
    verb.add_argument("--overwrite", action="store_true", help="make it anew where somebody has edited it")
    add_base_options(verb)


def add_base_options(verb: argparse.ArgumentParser) -> None:
    """What a card needs to know of the original."""
    verb.add_argument(
        "--base", metavar="MODEL", help="the original, for its licence and an error map: a folder, a file or a Hub id"
    )
    verb.add_argument(
        "--base-model", metavar="ORG/NAME", default="", help="the original's name on the Hub, where MODEL is a folder"
    )


def card(options: Namespace) -> int:
    """Prints or writes the card; what is not known goes to stderr."""
    from qtquant_app.cli.progress import drive
    from qtquant_app.core.card_text import card_text
    from qtquant_app.engine.publish.prepare import prepare, save_card

    made = prepare(options.folder, options.base, base_model=options.base_model, repo=options.repo)
    prepared = drive(made)
    for text in prepared.warnings:
        say(f"note: {printable(text)}", stream=sys.stderr)
    if options.output:
        written = save_card(prepared, Path(options.output), overwrite=options.overwrite)
        if not options.json:
            for file in written:
                say(printable(str(file)))
    if options.json:
        show.document(prepared.to_json())
    elif not options.output:
        if prepared.own and not options.overwrite:
            text = f"{options.folder} has a card that was edited: this is it, and --overwrite shows one made anew"
            say(f"note: {printable(text)}", stream=sys.stderr)
        say((card_text(prepared.card) if options.overwrite else prepared.text).rstrip("\n"))
    return 0
