"""Both models go on with a prompt as transformers' own greedy search does, and the difference is marked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app import load
from qtquant_app.core.continuation import Segment, continuation
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluate import evaluate
from qtquant_app.engine.source import open_checkpoint
from tests.driving import quantize, result

PROMPTS = ["The capital of France is", "A function definition"]
TOKENS = 12


def greedy(model: torch.nn.Module, root: Path, prompt: str) -> str:
    tokenizer = transformers.AutoTokenizer.from_pretrained(root)
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    made = model.generate(  # type: ignore[operator]
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
    )
    kept = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    before = tokenizer.decode(ids[0], **kept)
    return str(tokenizer.decode(made[0], **kept)).removeprefix(before)


@pytest.mark.parametrize("streamed", [False, True])
def test_they_say_what_transformers_own_greedy_search_says(streamed: bool, tmp_path: Path) -> None:
    quantize("sample", tmp_path / "plain", parse_label("W2 g32 asym"), format="qtquant")
    root = open_checkpoint("sample").root
    original = transformers.AutoModelForCausalLM.from_pretrained(root, dtype=torch.float32).eval()
    own = load(tmp_path / "plain", dtype="float32")
    words = {"windows": 1, "seqlen": 32, "device": "cpu", "streamed": streamed, "record": False}
    found = result(evaluate(tmp_path / "plain", "sample", prompts=PROMPTS, new_tokens=TOKENS, **words))  # type: ignore[arg-type]
    assert [one.prompt for one in found.continuations] == PROMPTS
    for one in found.continuations:
        assert "".join(part.text for part in one.base) == greedy(original, root, one.prompt)
        assert "".join(part.text for part in one.own) == greedy(own, root, one.prompt)
    assert any(one.first_difference is not None for one in found.continuations)


def test_a_model_that_writes_no_text_takes_no_prompt(tmp_path: Path) -> None:
    from tests.end2end import tiny_models

    torch.manual_seed(0)
    tiny_models.vit().save_pretrained(tmp_path / "base")
    quantize(tmp_path / "base", tmp_path / "out", parse_label("W4 g32 sym"), format="qtquant")
    with pytest.raises(EvaluateError, match="goes on with no prompt"):
        result(evaluate(tmp_path / "out", tmp_path / "base", text="random", prompts=["Hello"], device="cpu"))


def test_the_first_difference_and_what_follows_it_are_marked() -> None:
    found = continuation("x", [1, 2, 3, 4], [1, 9, 3, 4], ["a", "b", "c", "d"], ["a", "B", "c", "d"])
    assert found.first_difference == 1
    assert found.base == (Segment("a", True), Segment("b", False), Segment("cd", True))
    assert found.own == (Segment("a", True), Segment("B", False), Segment("cd", True))
    assert (found.tokens, found.same_tokens) == (4, 3)


def test_one_that_ends_sooner_differs_where_it_ends() -> None:
    assert continuation("x", [1, 2], [1, 2, 3], ["a", "b"], ["a", "b", "c"]).first_difference == 2
    assert continuation("x", [1, 2], [1, 2], ["a", "b"], ["a", "b"]).first_difference is None


ids = st.lists(st.integers(0, 4), max_size=12)


@given(ids, ids)
def test_segments_hold_every_token_once_and_the_same_ones_alike(base: list[int], own: list[int]) -> None:
    found = continuation("x", base, own, list(map(str, base)), list(map(str, own)))
    assert "".join(part.text for part in found.base) == "".join(map(str, base))
    assert "".join(part.text for part in found.own) == "".join(map(str, own))
    same = ["".join(part.text for part in side if part.same) for side in (found.base, found.own)]
    assert same[0] == same[1]
    assert len(same[0]) == found.same_tokens
    assert (found.first_difference is None) == (base == own)
