"""Lets both models go on with the same prompts, always with the likeliest token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qtquant_app.core.continuation import Continuation, continuation
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.evaluation.running import Runs
from qtquant_app.engine.evaluation.sides import Pair, Side

if TYPE_CHECKING:
    import torch

BUILT_IN = "default"
"""The prompt that stands for those below."""
PROMPTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "def fibonacci(n):\n",
    "Once upon a time, in a small village by the sea,",
)
NEW_TOKENS = 32
MOST_PROMPTS, MOST_TOKENS = 64, 4096


def all_prompts(prompts: Sequence[str]) -> list[str]:
    """The prompts, the built-in ones in the place of "default"."""
    found: list[str] = []
    for prompt in prompts:
        found += PROMPTS if prompt == BUILT_IN else [prompt]
    return found


def continued(
    runs: Runs, pair: Pair, tokenizer: Any, prompts: Sequence[str], count: int
) -> Iterator[float | tuple[Continuation, ...]]:
    """How much is done, 0.0 to 1.0, and at last what both say after each of `prompts`: at most `count` tokens.

    Raises EvaluateError where the tokenizer makes nothing of one.
    """
    given = [_ids(tokenizer, prompt) for prompt in prompts]
    said: list[list[list[int]]] = []
    for side in (pair.base, pair.own):
        writing = _Writing(runs, side, given, _ends(side))
        for step in range(count):
            writing.step()
            yield (len(said) + (step + 1) / count) / 2
        said.append(writing.new)
    pieces = [[_pieces(tokenizer, *both) for both in zip(given, news, strict=True)] for news in said]
    yield tuple(map(continuation, prompts, *said, *pieces))


class _Writing:
    """Prompts that one model goes on with, together."""

    def __init__(self, runs: Runs, side: Side, given: Sequence[list[int]], ends: frozenset[int]) -> None:
        self._runs, self._side, self._ends = runs, side, ends
        self._given = given
        self._remembered: list[Any] = [None] * len(given)
        self.new: list[list[int]] = [[] for _ in given]

    def step(self) -> None:
        """One token more for each prompt that the model has not ended."""
        going = [at for at, new in enumerate(self.new) if not new or new[-1] not in self._ends]
        outputs = self._runs.outputs(self._side, [self._inputs(at) for at in going]) if going else []
        for at, output in zip(going, outputs, strict=True):
            self.new[at].append(int(output["logits"][0, -1].argmax()))
            self._remembered[at] = output.get("past_key_values")

    def _inputs(self, at: int) -> dict[str, Any]:
        """The last token alone where the model remembers the others, else all of them."""
        remembered = self._remembered[at]
        ids = [*self._given[at], *self.new[at]] if remembered is None else self.new[at][-1:]
        given: dict[str, Any] = {"input_ids": _tensor(ids, self._side.net.device), "use_cache": True}
        return given if remembered is None else given | {"past_key_values": remembered}


def _ids(tokenizer: Any, prompt: str) -> list[int]:
    ids = [int(id) for id in tokenizer(prompt, verbose=False)["input_ids"]]
    if not ids:
        raise EvaluateError(
            "the tokenizer makes nothing of an empty prompt", hint="give --prompt a few words", code="text"
        )
    return ids


def _tensor(ids: list[int], device: torch.device) -> torch.Tensor:
    import torch

    return torch.tensor([ids], device=device)


def _ends(side: Side) -> frozenset[int]:
    """The tokens that end a text, as the model's config says."""
    config = side.net.model.config
    found = getattr(config.get_text_config(), "eos_token_id", None)
    return frozenset([found] if isinstance(found, int) else found or ())


def _pieces(tokenizer: Any, given: list[int], new: list[int]) -> list[str]:
    """What each new token adds to the text; a token in the middle of a character adds nothing, the last of it all of it."""
    before, pieces = _text(tokenizer, given), []
    for end in range(1, len(new) + 1):
        now = _text(tokenizer, given + new[:end])
        ended = end == len(new) or not now.endswith("\N{REPLACEMENT CHARACTER}")
        pieces.append(now[len(before) :] if ended else "")
        before = now if ended else before
    return pieces


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
