"""`qtquant search` and `qtquant hub`: models on the Hub, one of them, and what of it is here."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable, say
from qtquant_app.core.errors import UsageError
from qtquant_app.core.hub import SORTS
from qtquant_app.core.quantities import NOTHING, bytes_text, parameters_text, plural

if TYPE_CHECKING:
    from qtquant_app.core.hub import HubModel, HubPage, Quantization

_UNSAID = "unknown"


def add_search_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("words", nargs="*", metavar="WORD", help="what the name holds")
    verb.add_argument("--task", default="", metavar="NAME", help="such as text-generation")
    verb.add_argument("--library", default="", metavar="NAME", help="such as transformers or gguf")
    verb.add_argument("--licence", "--license", default="", metavar="NAME", help="such as apache-2.0")
    verb.add_argument("--author", default="", metavar="NAME", help="a user or an organisation")
    verb.add_argument("--tag", action="append", default=[], metavar="TAG", help="any tag of the Hub; repeatable")
    verb.add_argument("--gated", choices=("yes", "no"), help="whether terms must be accepted first")
    verb.add_argument("--min-parameters", default="", metavar="N", help="such as 500M or 7B")
    verb.add_argument("--max-parameters", default="", metavar="N", help="such as 8B")
    verb.add_argument("--sort", choices=SORTS, default=SORTS[0], help=f"the most or the newest first; {SORTS[0]}")
    verb.add_argument("--limit", type=int, default=20, metavar="N", help="models to list; 20")
    verb.add_argument(
        "--quantized-from", metavar="ORG/NAME", help="instead: what is published as quantized from this one"
    )


def add_hub_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", nargs="?", metavar="ORG/NAME[@REVISION]", help="its card, files and revisions")


def search(options: Namespace) -> int:
    """Lists models, or the quantizations of one."""
    if options.quantized_from:
        return _quantizations(options)
    from qtquant_app.engine.hub.search import Search
    from qtquant_app.engine.hub.search import search as find

    wanted = Search(
        words=" ".join(options.words),
        task=options.task,
        library=options.library,
        licence=options.licence,
        author=options.author,
        gated=None if options.gated is None else options.gated == "yes",
        least=options.min_parameters,
        most=options.max_parameters,
        sort=options.sort,
        limit=options.limit,
        tags=tuple(options.tag),
    )
    found = find(wanted)
    if options.json:
        show.document({"models": [model.to_json() for model in found]})
    elif found:
        titles = ("model", "downloads", "likes", "task", "parameters", "weights", "licence", "access", "updated")
        show.table([titles, *map(_row, found)], right=(1, 2, 4, 5))
    else:
        say("no model on the Hub is like that")
    return 0


def _quantizations(options: Namespace) -> int:
    from qtquant_app.engine.hub.search import quantizations_of

    found = quantizations_of(_named(options.quantized_from), options.limit)
    if options.json:
        show.document({"base": options.quantized_from, "models": [model.to_json() for model in found]})
    elif found:
        show.table(
            [("model", "format", "weights", "downloads", "licence", "updated"), *map(_quantized, found)], right=(2, 3)
        )
    else:
        say(f"nothing on the Hub says that it is quantized from {printable(options.quantized_from)}")
    return 0


def _row(model: HubModel) -> tuple[object, ...]:
    counts = parameters_text(model.parameters) if model.parameters else NOTHING
    weights = bytes_text(model.bytes) if model.bytes else NOTHING
    access = "private" if model.private else f"gated ({model.gated})" if model.gated else "open"
    licence = model.licence or _UNSAID
    numbers = f"{model.downloads:,}", f"{model.likes:,}"
    return model.id, *numbers, model.task or NOTHING, counts, weights, licence, access, model.updated or NOTHING


def _quantized(found: Quantization) -> tuple[object, ...]:
    least, most, model = found.least_bytes, found.most_bytes, found.model
    size = f"{bytes_text(least)} to {bytes_text(most)}" if least < most else bytes_text(most) if most else _UNSAID
    return model.id, found.format, size, f"{model.downloads:,}", model.licence or _UNSAID, model.updated or NOTHING


def hub(options: Namespace) -> int:
    """One model, or who is signed in and what of the Hub is here."""
    return _page(options) if options.model else _here(options)


def _page(options: Namespace) -> int:
    from qtquant_app.engine.hub.names import hub_id
    from qtquant_app.engine.hub.page import page

    found = page(hub_id(options.model) or hub_id(_named(options.model)))  # type: ignore[arg-type]
    if options.json:
        show.document(_page_json(found))
        return 0
    show.table(
        [
            ("model", "downloads", "likes", "task", "parameters", "weights", "licence", "access", "updated"),
            _row(found.model),
        ]
    )
    say(f"\n{plural(len(found.files), 'file')}, {bytes_text(found.bytes)}, at commit {found.commit[:12]}")
    show.table([(file.name, bytes_text(file.bytes)) for file in found.files], right=(1,))
    say(
        f"\nbranches: {printable(', '.join(found.branches)) or NOTHING}; tags: {printable(', '.join(found.tags)) or NOTHING}"
    )
    return 0


def _page_json(found: HubPage) -> dict[str, Any]:
    files = [{"name": file.name, "bytes": file.bytes} for file in found.files]
    revisions = {"branches": list(found.branches), "tags": list(found.tags)}
    return {**found.model.to_json(), "commit": found.commit, "files": files, **revisions, "card": found.card}


def _here(options: Namespace) -> int:
    from qtquant_app.core.errors import SourceError
    from qtquant_app.engine.hub.access import who
    from qtquant_app.engine.hub.local import cached_models, range_bytes

    models, pieces = cached_models(), range_bytes()
    try:
        account, why = who(), ""
    except SourceError as error:
        account, why = None, error.message
    if options.json:
        named = None if account is None else account.name
        show.document(
            {"account": named, "error": why or None, "range_bytes": pieces, "cached": [m.to_json() for m in models]}
        )
        return 0
    say(why or (f"signed in as {printable(account.name)}" if account else "nobody is signed in"))
    total = bytes_text(sum(model.bytes for model in models))
    say(f"{plural(len(models), 'model')} in the cache, {total}; parts of others, {bytes_text(pieces)}")
    show.table([(m.label, bytes_text(m.bytes), plural(m.files, "file"), m.commit[:12]) for m in models], right=(1, 2))
    return 0


def _named(text: str) -> str:
    """Raises UsageError where `text` is no name on the Hub."""
    from qtquant_app.engine.hub.names import hub_id

    if hub_id(text) is None:
        raise UsageError(f"{text!r} is not a name on the Hub", hint="write org/name", code="hub-name")
    return text
