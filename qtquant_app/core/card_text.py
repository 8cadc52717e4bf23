"""The model card as Markdown with its YAML head. Whatever is in it that others named means nothing there but itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

from qtquant_app.core.card import Base, Card, Licence
from qtquant_app.core.command_line import shell_line
from qtquant_app.core.coverage import coverage_text
from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.front_matter import front_matter
from qtquant_app.core.markdown import cell, fenced, named, table
from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, figure, percent, plural

_LIBRARIES = {"mlx": "mlx", "gguf": "gguf", "qtquant": "qtquant"}
_OF_THE_FORMAT = "transformers"
_MOST_SCHEMES = 20
_MOST_FILES = 2000
_SEAL = re.compile(r"<!-- qtquant card ([0-9a-f]{64}) -->\s*\Z")


def card_text(card: Card) -> str:
    """The whole card. Its last line is a seal by which `edited` tells whether anybody has changed it since."""
    body = "\n\n".join(part for part in (_head(card), *_parts(card)) if part) + "\n"
    return f"{body}\n<!-- qtquant card {_digest(body)} -->\n"


def edited(text: str) -> bool:
    """Whether `text` is a card that somebody has written or changed: it is not to be lost."""
    found = _SEAL.search(text)
    return found is None or _digest(text[: found.start()].removesuffix("\n")) != found[1]


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _head(card: Card) -> str:
    licence = card.base.licence
    bits = [f"{bits}-bit" for bits in sorted({share.bits for share in card.shares})]
    return front_matter(
        {
            "base_model": card.base.hub_id,
            "base_model_relation": "quantized" if card.base.hub_id else "",
            "license": licence.ids[0] if len(licence.ids) == 1 else licence.ids,
            "license_name": licence.name,
            "license_link": licence.link,
            "library_name": _LIBRARIES.get(card.format, _OF_THE_FORMAT),
            "pipeline_tag": card.base.pipeline_tag,
            "tags": ("quantized", "qtquant", *([card.format] if card.format != "qtquant" else []), *bits),
        }
    )


def _parts(card: Card) -> Iterator[str]:
    yield f"# {cell(card.title)}"
    yield _opening(card)
    yield from _warnings(card)
    yield from _figures(card)
    yield from _evaluation(card)
    yield from _errors(card)
    yield from _loading(card)
    yield from _making(card)
    yield "## Licence"
    yield _licence(card)


def _opening(card: Card) -> str:
    base = _link(card.base)
    schemes = f"{card.shares[0].words}" if card.shares else "nothing of it quantized"
    more = f", and {plural(len(card.shares) - 1, 'other scheme')}" if len(card.shares) > 1 else ""
    return (
        f"{base}, quantized by QtQuant {cell(card.program)} for the {cell(card.format)} format: {cell(schemes)}{more}. "
        f"{bytes_text(card.output_bytes)} in place of {bytes_text(card.source_bytes)}."
    )


def _link(base: Base) -> str:
    """The base's name, a link where it is one on the Hub: of such a name nothing can break out."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base.hub_id, re.ASCII):
        return f"[{cell(base.hub_id)}](https://huggingface.co/{base.hub_id})"
    return cell(base.name)


def _warnings(card: Card) -> Iterator[str]:
    if card.warnings:
        yield "\n".join(f"> **Note:** {cell(text)}\n>" for text in card.warnings).removesuffix("\n>")


def _figures(card: Card) -> Iterator[str]:
    total = sum(share.tensors for share in card.shares)
    yield "## What it is"
    rows = [
        ("Architecture", card.architecture or NOTHING),
        ("Format", card.format),
        ("Size", f"{bytes_text(card.output_bytes)} ({card.output_bytes:,} bytes), {card.reduction:.2f} times smaller"),
        ("Bits per quantized weight", f"{card.bits_per_weight:.3f}, scales and zero points included"),
        ("Quantized", f"{plural(total, 'tensor')}: {coverage_text(card.coverage_percent)}"),
        ("Kept as they are", f"{plural(card.kept, 'tensor')}, {bytes_text(card.kept_bytes)}"),
        ("Signal to noise of the weights", decibels(card.errors.sqnr_db)),
    ]
    yield table(("", ""), rows)
    if len(card.shares) > 1:
        shown = card.shares[:_MOST_SCHEMES]
        yield table(
            ("Scheme", "in words", "tensors", "weights", "bytes"),
            [(s.label, s.words, f"{s.tensors:,}", f"{s.weights:,}", bytes_text(s.bytes)) for s in shown],
            right=(2, 3, 4),
        )


def _evaluation(card: Card) -> Iterator[str]:
    yield "## Evaluation"
    if not card.evaluations:
        yield "It was not evaluated on text. The errors below are those of its weights."
        return
    yield "Beside the original on the same tokens; KL divergence in nats a token, from the original to this."
    titles = ("Text", "tokens", "perplexity of the original", "perplexity", "KL divergence", "same likeliest token")
    yield table(titles, map(_evaluated, card.evaluations), right=(1, 2, 3, 4, 5))


def _evaluated(found: Evaluated) -> tuple[str, ...]:
    interval = f" \N{PLUS-MINUS SIGN} {figure(found.kl_interval)}" if found.kl is not None and found.kl_interval else ""
    inputs = f", inputs in {found.activations}" if found.activations != "none" else ""
    return (
        (found.text or NOTHING) + inputs,
        f"{found.tokens:,}",
        _or_nothing(found.base_perplexity),
        _or_nothing(found.perplexity),
        _or_nothing(found.kl) + interval,
        NOTHING if found.top1_agreement is None else percent(found.top1_agreement),
    )


def _or_nothing(value: float | None) -> str:
    return NOTHING if value is None else figure(value)


def _errors(card: Card) -> Iterator[str]:
    if not card.worst:
        return
    yield "## Errors of the weights"
    yield f"The {plural(len(card.worst), 'tensor')} that lost most, measured against the original."
    titles = ("Tensor", "scheme", "SQNR", "relative error", "max error")
    rows = [
        (
            t.name,
            t.scheme.label,
            decibels(t.errors.sqnr_db),
            percent(t.errors.relative_error),
            figure(t.errors.max_error),
        )
        for t in card.worst
    ]
    yield table(titles, rows, right=(2, 3, 4), names=True)
    if card.picture:
        worst = card.worst[0].name
        yield f"![Error map of {cell(worst)}]({card.picture})"
        where = "output channels down, input columns across; the stronger the colour, the larger."
        yield f"The largest error of each part of {named(worst)}: {where}"


def _loading(card: Card) -> Iterator[str]:
    yield "## How to load it"
    for snippet in card.snippets:
        yield f"### {cell(snippet.title)}"
        yield fenced(snippet.code, "python")
    if card.runtimes:
        yield "Who reads it, and how that is known:"
        yield table(("Runtime", "", ""), [(note.title, note.state, note.text) for note in card.runtimes])


def _making(card: Card) -> Iterator[str]:
    yield "## How it was made"
    yield fenced(shell_line(card.command), "sh")
    yield "The recipe, which `qtquant quantize --recipe` applies to another model too:"
    yield fenced(json.dumps(card.recipe.to_json(), indent=2, ensure_ascii=False), "json")
    made = [("QtQuant", card.program), *sorted(card.versions.items()), ("seed", str(card.seed)), _proof(card)]
    yield table(("", ""), made)
    files = sorted(card.sha256.items())
    more = [(f"and {len(files) - _MOST_FILES:,} more", "see qtquant.json")] if len(files) > _MOST_FILES else []
    yield table(("File", "sha256"), [*files[:_MOST_FILES], *more], names=True)


def _proof(card: Card) -> tuple[str, str]:
    said = {
        "full": "every tensor was read back from the files and compared with the original",
        "quick": "a part of every tensor was read back from the files and compared with the original",
    }
    return "verified", said.get(card.verified, "not by the run that made it")


def _licence(card: Card) -> str:
    licence, base = card.base.licence, _link(card.base)
    files = f" Carried over from it: {', '.join(map(cell, card.licence_files))}." if card.licence_files else ""
    if not licence.known:
        return f"The licence of {base} is not known to the program that made this: ask whoever published it.{files}"
    return f"That of {base}, as its own card states it: {_named(licence)}.{files}"


def _named(licence: Licence) -> str:
    more = [cell(part) for part in (licence.name, licence.link) if part]
    return ", ".join(map(cell, licence.ids)) + (f" ({', '.join(more)})" if more else "")
