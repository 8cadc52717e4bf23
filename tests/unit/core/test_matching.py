"""Patterns are matched once for a checkpoint, and decide what they decide one tensor at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import UsageError
from qtquant_app.core.fitting import decider
from qtquant_app.core.matching import deciders, ignored_by, named, named_by, ruled_by
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

PARTS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj", "input_layernorm")
PATTERNS = (
    "*",
    "*.q_proj",
    "*.0.*",
    "model.layers.1.*",
    "lm_head",
    "re:.*mlp",
    r"re:model\.layers\.\d$",
    "*norm",
    "none.*",
)


def tensor(module: str) -> TensorInfo:
    kind = Kind.NORM if "norm" in module else Kind.HEAD if module == "lm_head" else Kind.LINEAR
    shape = (8,) if kind == Kind.NORM else (8, 8)
    return TensorInfo(f"{module}.weight", "BF16", shape, "model.safetensors", 0, 128, kind)


def checkpoint() -> Checkpoint:
    modules = ["lm_head", *(f"model.layers.{block}.{part}" for block in range(3) for part in PARTS)]
    return Checkpoint(Path(), Path(), "m", tuple(map(tensor, modules)), ("model.safetensors",))


patterns = st.lists(st.sampled_from(PATTERNS), max_size=5)


@given(patterns, patterns)
def test_every_module_is_decided_as_it_is_alone(rules: list[str], ignore: list[str]) -> None:
    model = checkpoint()
    recipe = Recipe(rules=tuple(Rule(pattern, Scheme()) for pattern in rules), ignore=tuple(ignore))
    assert deciders(recipe, model) == {t.module: decider(recipe, t) for t in model.tensors if t.quantizable}
    for module in model.modules:
        naming = [at for at, pattern in enumerate(rules) if matches(pattern, module)]
        assert ruled_by(recipe, model).get(module) == next(iter(naming), None)
        assert ignored_by(recipe, model).get(module) == next((p for p in ignore if matches(p, module)), None)
    wanted = {tuple(at for at, p in enumerate(rules) if matches(p, module)) for module in model.modules}
    assert named_by(recipe, model, model.modules) == wanted


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_a_pattern_names_is_what_matches_it(pattern: str) -> None:
    model = checkpoint()
    assert named(model, pattern) == {module for module in model.modules if matches(pattern, module)}
    assert named(model, pattern) is named(model, pattern)


def test_patterns_without_end_are_not_remembered_without_end() -> None:
    model = checkpoint()
    for number in range(2000):
        named(model, f"*.{number}.*")
    assert len(model.matched) <= 512


def test_a_malformed_pattern_is_refused() -> None:
    with pytest.raises(UsageError, match="not a regular expression"):
        named(checkpoint(), "re:(")
