"""Makes token ids of documents, as the model reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtquant_app.core.calibration import Calibration, Refused
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.language_model import silent
from qtquant_app.engine.samples.chats import Chat, Document
from qtquant_app.engine.samples.documents import Documents
from qtquant_app.engine.samples.spread import spread
from qtquant_app.engine.samples.takes import Takes
from qtquant_app.engine.windows import LEAST_TOKENS, too_short, windows_by

if TYPE_CHECKING:
    from torch import Tensor

_UNBOUNDED = 1 << 20
"""What tokenizers say of their longest text when they know of none is larger."""


@dataclass(frozen=True)
class Tokens:
    """The texts of samples as ids, each [n] int64."""

    ids: list[Tensor]
    length: int
    """Tokens of each, at most: what was asked for, or fewer where the model has no positions for as many."""
    refused: tuple[Refused, ...] = ()


def tokens_of(
    documents: Documents, tokenizer: Any, takes: Takes, calibration: Calibration, *, captions: bool = False
) -> Tokens:
    """At most `calibration.samples` of them, spread over the documents. Of `captions` each is one, in order, however short.

    Raises EvaluateError where there are none: too short, or conversations without a template that says how to write them.
    """
    length = min(calibration.length, takes.longest or calibration.length, _longest(tokenizer))
    made = _Ids(tokenizer, takes, length, calibration.chat)
    text = None if captions else documents.text
    if text is None:
        found = _each(documents, made, calibration.samples, captions)
    else:
        found = Tokens(windows_by(made.of, text, calibration.samples, length, label=takes.label), length)
    _check(found.ids, takes)
    return found


class _Ids:
    """Makes at most `length` ids of one document."""

    def __init__(self, tokenizer: Any, takes: Takes, length: int, chat: bool) -> None:
        self.length, self.label = length, takes.label
        self._tokenizer, self._takes, self._chat = tokenizer, takes, chat

    def of(self, document: Document) -> Tensor:
        if isinstance(document, str) and not self._chat:
            return self._of_text(document)
        chat = ({"role": "user", "content": document},) if isinstance(document, str) else document
        return self._encoded(self._written(chat), add_special_tokens=False)[: self.length]

    def _of_text(self, text: str) -> Tensor:
        if self._takes.decoder_only:
            return self._encoded(text)[: self.length]
        if self._takes.reads:  # whatever closes a text must stay
            return self._encoded(text, truncation=True, max_length=self.length)
        return self._answer(self._encoded(text))

    def _answer(self, ids: Tensor) -> Tensor:
        """What a decoder is given while it goes on with `ids`: its own first token before them, and no end."""
        import torch

        start, end = self._takes.start, getattr(self._tokenizer, "eos_token_id", None)
        if len(ids) and ids[-1] == end:
            ids = ids[:-1]
        if start is not None and not (len(ids) and ids[0] == start):
            ids = torch.cat([ids.new_tensor([start]), ids])
        return ids[: self.length]

    def _encoded(self, text: str, **options: Any) -> Tensor:
        with silent():
            ids: Tensor = self._tokenizer(text, return_tensors="pt", verbose=False, **options)["input_ids"][0]
        return ids.long()

    def _written(self, chat: Chat) -> str:
        if not getattr(self._tokenizer, "chat_template", None):
            raise EvaluateError(
                f"{self.label} has no chat template, so conversations cannot be written as it knows them",
                hint="leave --chat out, and give plain text",
                code="chat-template",
            )
        with silent():
            return str(self._tokenizer.apply_chat_template([dict(message) for message in chat], tokenize=False))


def _each(documents: Documents, made: _Ids, count: int, captions: bool) -> Tokens:
    least = 1 if captions else min(LEAST_TOKENS, made.length)
    found: list[Tensor] = []
    refused: Counter[str] = Counter()
    order = iter(range(len(documents.items))) if captions else spread(len(documents.items), count)
    while len(found) < count and (at := next(order, None)) is not None:
        ids = _tried(made.of, documents.items[at])
        if ids is None:
            refused["conversations that the model's chat template refuses"] += 1
        elif len(ids) < least:
            refused[f"shorter than {least} tokens"] += 1
        else:
            found.append(ids)
    if not found:
        why = next((reason for reason, _ in refused.most_common()), "nothing is in it")
        raise too_short(f"{documents.name} gives no sample: {why}")
    return Tokens(found, made.length, tuple(Refused(reason, number) for reason, number in refused.items()))


def _tried(make: Callable[[Document], Tensor], document: Document) -> Tensor | None:
    """None where the template refuses a conversation, such as one that begins with an answer."""
    from jinja2.exceptions import TemplateError

    try:
        return make(document)
    except (TemplateError, TypeError, ValueError):
        if isinstance(document, str):
            raise
        return None


def _longest(tokenizer: Any) -> int:
    known = getattr(tokenizer, "model_max_length", None)
    return int(known) if isinstance(known, int) and 0 < known < _UNBOUNDED else _UNBOUNDED


def _check(found: list[Tensor], takes: Takes) -> None:
    largest = max(int(ids.max()) for ids in found if len(ids))
    if takes.vocabulary and largest >= takes.vocabulary:
        raise EvaluateError(
            f"the tokenizer of {takes.label} makes token {largest:,}, and its embedding has {takes.vocabulary:,}",
            hint="put the tokenizer of the original model beside its weights",
            code="model",
        )
