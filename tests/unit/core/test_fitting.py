"""A recipe that was made for any model, fitted to one."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.fitting import DEFAULT, decided, decider, fitted
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

W4, W8 = Scheme(4), Scheme(8)


def tensor(name: str, kind: Kind = Kind.LINEAR) -> TensorInfo:
    return TensorInfo(f"{name}.weight", "BF16", (32, 32), "f", 0, 2048, kind)


def checkpoint(*names: str) -> Checkpoint:
    tensors = (*map(tensor, names), tensor("lm_head", Kind.HEAD), tensor("embed", Kind.EMBEDDING))
    return Checkpoint(Path("/nowhere"), Path("/nowhere"), "made up", tensors, ("f",))


TWO_STACKS = checkpoint(
    *(f"{stack}.{n}.{m}" for stack in ("vision", "text") for n in range(12) for m in ("up", "down"))
)


def test_the_first_and_the_last_block_are_those_of_every_stack() -> None:
    recipe = fitted(Recipe(W4, (Rule("{first}.*", W8), Rule("{last}.down", "keep"))), TWO_STACKS)
    patterns = [rule.pattern for rule in recipe.rules]
    assert patterns == ["vision.0.*", "text.0.*", "vision.11.down", "text.11.down"]


def test_rules_and_ignore_patterns_that_do_nothing_go() -> None:
    rules = (Rule("*.down", W8), Rule("*.gate", W8), Rule("text.3.down", "keep"), Rule("*.up", W8))
    recipe = fitted(Recipe(W4, rules, ("*.up", "nothing", "embed")), TWO_STACKS)
    assert recipe.ignore == ("*.up", "embed")
    assert recipe.rules == (Rule("*.down", W8),)


def test_a_model_of_one_block_has_one_edge() -> None:
    recipe = fitted(Recipe(W4, (Rule("{first}.*", W8), Rule("{last}.*", W8))), checkpoint("layers.0.up"))
    assert [rule.pattern for rule in recipe.rules] == ["layers.0.*"]


def test_a_model_without_blocks_has_no_edges() -> None:
    assert fitted(Recipe(W4, (Rule("{first}.*", W8),)), checkpoint("up")).rules == ()


def test_what_decides_a_tensor_is_told_by_its_number() -> None:
    recipe = Recipe(W4, (Rule("*.down", W8), Rule("lm_*", "keep")), ("vision.*",))
    assert decider(recipe, tensor("text.0.down")) == 0 and decided(recipe, tensor("text.0.down")) == W8
    assert decider(recipe, tensor("text.0.up")) == DEFAULT and decided(recipe, tensor("text.0.up")) == W4
    assert decider(recipe, tensor("vision.0.up")) is None and decided(recipe, tensor("vision.0.up")) is None
    assert decider(recipe, tensor("lm_head", Kind.HEAD)) == 1 and decided(recipe, tensor("lm_head", Kind.HEAD)) is None
    assert decider(Recipe(W4), tensor("lm_head", Kind.HEAD)) is None
