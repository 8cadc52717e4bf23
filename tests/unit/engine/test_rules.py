"""Rules that decide nothing or contradict the format are refused, all of them at once, each with a way out."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.cli.main import main
from qtquant_app.core.errors import RuleError
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.recipes import save_recipe
from qtquant_app.engine.rules import choose
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, small_llama, write_checkpoint

G32 = Scheme(group_size=32)
W8 = Scheme(bits=8, strategy="channel", group_size=None)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("rules") / "m")


def refused(source: Path, recipe: Recipe) -> RuleError:
    with pytest.raises(RuleError) as caught:
        make_plan(open_checkpoint(source), recipe, device="cpu")
    assert caught.value.exit_status == 2
    assert caught.value.hint
    return caught.value


def test_a_rule_that_matches_nothing_comes_with_the_nearest_names(source: Path) -> None:
    error = refused(source, Recipe(G32, (Rule("*.up_prj", W8),)))
    assert "'*.up_prj' matches no module" in error.message
    assert error.hint == "did you mean *.up_proj?"
    (fault,) = error.faults
    assert (fault.rule, fault.code, fault.patterns) == (0, "dead-rule", ("*.up_proj",))


def test_an_ignore_pattern_that_matches_nothing_is_told_from_a_rule(source: Path) -> None:
    (fault,) = refused(source, Recipe(G32, ignore=("*.mpl.*",))).faults
    assert (fault.rule, fault.pattern, fault.patterns[0]) == (None, "*.mpl.*", "*.mlp.*")


def test_a_shadowed_rule_names_what_stands_before_it(source: Path) -> None:
    error = refused(source, Recipe(G32, (Rule("*.mlp.*", W8), Rule("*.up_proj", "keep"))))
    assert "'*.up_proj' never applies: earlier rules take all it matches ('*.mlp.*')" in error.message
    assert error.hint == "move it up, before *.mlp.*, or remove it"
    assert (error.faults[0].rule, error.faults[0].before) == (1, 0)


def test_two_rules_together_shadow_a_third_and_ignore_patterns_do_too(source: Path) -> None:
    rules = (Rule("*.up_proj", W8), Rule("*.gate_proj", W8), Rule("re:.*\\.(gate_proj|up_proj)$", "keep"))
    error = refused(source, Recipe(G32, rules))
    assert "('*.up_proj', '*.gate_proj')" in error.message or "('*.gate_proj', '*.up_proj')" in error.message
    error = refused(source, Recipe(G32, (Rule("*.up_proj", W8),), ("*.mlp.*",)))
    assert "ignore patterns take all it matches ('*.mlp.*')" in error.message


def test_the_second_of_two_rules_with_one_pattern_is_shadowed(source: Path) -> None:
    error = refused(source, Recipe(G32, (Rule("*.up_proj", W8), Rule("*.up_proj", "keep"))))
    assert [fault.rule for fault in error.faults] == [1]


@pytest.mark.parametrize(
    ("scheme", "format", "why"),
    [
        (Scheme(group_size=48), "compressed-tensors", "group size 48 does not divide"),
        (Scheme(bits=3, group_size=32), "qtquant", "3"),
        (Scheme(strategy="tensor", group_size=None, method="hqq"), "compressed-tensors", "method 'hqq'"),
    ],
)
def test_a_rule_that_contradicts_the_format_is_named_with_schemes_that_do_not(
    source: Path, scheme: Scheme, format: str, why: str
) -> None:
    rule = Rule("*.down_proj", scheme)
    error = refused(source, Recipe(G32, (rule,), format=format))
    assert f"the rule '*.down_proj' cannot give {scheme.label}" in error.message
    assert why in error.message
    (fault,) = error.faults
    assert fault.schemes
    for label in fault.schemes:
        assert label in error.hint
        mended = Recipe(G32, (Rule("*.down_proj", parse_label(label)),), format=format)
        assert make_plan(open_checkpoint(source), mended, device="cpu").rules[0].matches == 2


def test_all_that_is_wrong_is_told_at_once(source: Path) -> None:
    rules = (Rule("*.up_prj", W8), Rule("*.mlp.*", W8), Rule("*.gate_proj", W8), Rule("model.norm", W8))
    error = refused(source, Recipe(G32, rules, ("nothing.*",)))
    assert [(fault.rule, fault.code) for fault in error.faults] == [
        (None, "dead-rule"),
        (0, "dead-rule"),
        (2, "shadowed-rule"),
        (3, "dead-rule"),
    ]
    assert "refused too: '*.up_prj', '*.gate_proj', 'model.norm'" in error.message


def test_a_tied_head_is_one_fault_and_no_shadow(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), {**LLAMA_CONFIG, "tie_word_embeddings": True})
    assert [fault.code for fault in refused(source, Recipe(G32, (Rule("lm_head", W8),))).faults] == ["tied-head"]


def test_a_refusal_survives_the_way_from_a_child_process(source: Path) -> None:
    error = refused(source, Recipe(G32, (Rule("*.up_prj", W8),)))
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.hint, again.code, again.faults) == (
        error.message,
        error.hint,
        error.code,
        error.faults,
    )


PATTERNS = ("*.down_proj", "*.mlp.*", "*.up_proj", "model.layers.0.*", "re:.*[qk]_proj$", "lm_head", "*", "*.nothing")


@given(
    st.lists(st.tuples(st.sampled_from(PATTERNS), st.sampled_from((W8, "keep"))).map(lambda p: Rule(*p)), max_size=5),
    st.lists(st.sampled_from(PATTERNS), max_size=2),
)
def test_what_is_not_refused_decides_something_and_the_first_match_wins(
    source: Path, rules: list[Rule], ignore: list[str]
) -> None:
    checkpoint, recipe = open_checkpoint(source), Recipe(G32, tuple(rules), tuple(ignore))
    modules = [tensor.module for tensor in checkpoint.tensors if tensor.quantizable]

    def first(module: str) -> int | None:
        if any(matches(pattern, module) for pattern in ignore):
            return None
        return next((at for at, rule in enumerate(rules) if matches(rule.pattern, module)), None)

    deciding = {first(module) for module in modules} - {None}
    dead = any(not any(matches(pattern, module) for module in modules) for pattern in ignore)
    try:
        found = choose(checkpoint, recipe)
    except RuleError as error:
        assert {fault.rule for fault in error.faults} - {None} == set(range(len(rules))) - deciding
        assert dead == (None in {fault.rule for fault in error.faults})
        return
    assert not dead and deciding == set(range(len(rules)))
    by_module = {t.module: c for t, c in zip(checkpoint.tensors, found, strict=True) if t.quantizable}
    assert all(by_module[module].rule == first(module) for module in modules)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (Recipe(G32, (Rule("*.up_prj", W8),)), "did you mean *.up_proj?"),
        (Recipe(G32, (Rule("*.mlp.*", W8), Rule("*.up_proj", W8))), "before *.mlp.*"),
        (Recipe(G32, (Rule("*.up_proj", Scheme(group_size=48)),)), "give it W4 g64 sym or W4 g32 sym"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "quantize"])
def test_the_command_line_refuses_with_status_2_and_a_suggestion(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: Recipe, says: str, verb: str
) -> None:
    save_recipe(recipe, tmp_path / "r.json")
    words = [verb, str(source), "--recipe", str(tmp_path / "r.json"), "--device", "cpu", "-o", str(tmp_path / "out")]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert repr(recipe.rules[-1].pattern) in said.err
    assert says in said.err
    assert not (tmp_path / "out").exists()
