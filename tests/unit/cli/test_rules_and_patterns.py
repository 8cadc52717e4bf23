"""Rules and patterns on the command line: the same that the window writes from a choice in the tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.core.choosing import Wish, choosable, choose
from qtquant_app.core.fitting import decided
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.recipes import read_recipe, save_recipe
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import result
from tests.unit.cli.test_presets_and_runtimes import document, refused

W4 = Scheme(group_size=32)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(small_llama(tmp_path / "m"))


def test_rules_typed_come_first_in_their_order(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    save_recipe(Recipe(W4, (Rule("*.o_proj", Scheme(8, group_size=32)),)), tmp_path / "r.json")
    typed = ("--rule", "*.0.mlp.down_proj=keep", "--rule", "re:.*(?=down_proj).*= W8 g32 sym mse")
    made = document(capsys, "plan", model, "--recipe", str(tmp_path / "r.json"), *typed)
    assert [(rule["pattern"], rule["matches"]) for rule in made["rules"]] == [
        ("*.0.mlp.down_proj", 1),
        ("re:.*(?=down_proj).*", 1),
        ("*.o_proj", 2),
    ]
    chosen = {tensor["name"]: tensor for tensor in made["tensors"]}
    assert chosen["model.layers.0.mlp.down_proj.weight"]["action"] == "keep"
    assert chosen["model.layers.1.mlp.down_proj.weight"]["scheme"]["method"] == "mse"


def test_a_rule_of_the_recipe_that_a_typed_one_takes_all_from_goes(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path
) -> None:
    save_recipe(Recipe(W4, (Rule("*.o_proj", "keep"),)), tmp_path / "r.json")
    words = ("--recipe", str(tmp_path / "r.json"), "-o", str(tmp_path / "out.json"))
    document(capsys, "plan", model, *words, "--rule", "*.o_proj=W8 g32 sym")
    assert read_recipe(tmp_path / "out.json").rules == (Rule("*.o_proj", Scheme(8, group_size=32)),)


def test_a_run_obeys_a_typed_rule_as_it_does_that_of_a_file(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path
) -> None:
    save_recipe(Recipe(W4, (Rule("*.down_proj", Scheme(8, group_size=32)),)), tmp_path / "r.json")
    one = document(capsys, "quantize", model, "-o", str(tmp_path / "a"), "--recipe", str(tmp_path / "r.json"))
    typed = ("--group-size", "32", "--rule", "*.down_proj=W8 g32 sym")
    two = document(capsys, "quantize", model, "-o", str(tmp_path / "b"), *typed)
    assert one["sha256"] == two["sha256"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("*.down_proj", "is not a rule"),
        ("=keep", "is not a rule"),
        ("*.down_proj=W4", "'W4' is not a scheme"),
        ("re:(=keep", "not a regular expression"),
        ("*.down_prj=keep", "matches no module"),
        ("*.mlp.*=W4 g32 sym", "never applies"),
    ],
)
def test_what_is_no_rule_is_refused(capsys: pytest.CaptureFixture[str], model: str, rule: str, told: str) -> None:
    words = ("--group-size", "32", "--ignore", "*.mlp.*", "--rule", rule)
    if "mlp" not in rule:
        words = (*words[:2], *words[4:])
    assert told in refused(capsys, "plan", model, *words)


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (("--place", "mlp.down_proj"), Wish(place="mlp.down_proj")),
        (("--blocks", "1"), Wish(blocks=(1, 1))),
        (("--blocks", "1-0", "--place", "self_attn.*"), Wish(place="self_attn.*", blocks=(0, 1))),
        (("--kind", "head"), Wish(kind="head")),
    ],
)
def test_the_pattern_names_just_what_is_asked_for(
    capsys: pytest.CaptureFixture[str], model: str, words: tuple[str, ...], wish: Wish
) -> None:
    found = document(capsys, "pattern", model, *words)
    checkpoint = open_checkpoint(model)
    expected = [tensor.module for tensor in choose(choosable(checkpoint), wish)]
    assert found["modules"] == expected and found["matches"] == len(expected)
    assert [m for m in checkpoint.quantizable_modules if matches(found["pattern"], m)] == expected


def test_a_printed_pattern_makes_a_rule_for_the_worst(capsys: pytest.CaptureFixture[str], model: str) -> None:
    from qtquant_app.cli.main import main

    assert main(["pattern", model, "--worst", "3", "--scheme", "W4 g32 sym"]) == 0
    pattern = capsys.readouterr().out.strip()
    checkpoint = open_checkpoint(model)
    report = result(scan(checkpoint, [W4]))
    rated = sorted((one.errors.sqnr_db, t.module) for t in report.tensors if (one := t.report(W4)) is not None)
    recipe = Recipe(W4, (Rule(pattern, Scheme(8, group_size=32)),))
    named = {t.module for t in choosable(checkpoint) if matches(pattern, t.module)}
    assert named == {module for _, module in rated[:3]}
    eight = {t.module for t in choosable(checkpoint) if (found := decided(recipe, t)) and found.bits == 8}
    assert eight == named
    below = document(capsys, "pattern", model, "--below", str(rated[2][0]), "--scheme", "W4 g32 sym")
    assert set(below["modules"]) == {module for _, module in rated[:2]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a pattern for what?"),
        (("--worst", "3"), "need a scheme"),
        (("--kind", "linear", "--scheme", "W4 g32 sym"), "--scheme is for --worst and --below"),
        (("--kind", "linears"), "there is no kind 'linears'"),
        (("--kind", "norm"), "nothing in"),
        (("--blocks", "x"), "no range of blocks"),
        (("--blocks", "7-9"), "the blocks go from 0 to 1"),
        (("--place", "mlp.dwn_proj"), "mlp.down_proj"),
        (("--worst", "0", "--scheme", "W4 g32 sym"), "the worst 0 are none"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    capsys: pytest.CaptureFixture[str], model: str, words: tuple[str, ...], told: str
) -> None:
    assert told in refused(capsys, "pattern", model, *words)


def test_a_plan_is_mended_for_its_readers_and_the_recipe_kept(
    capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path
) -> None:
    from qtquant_app.cli.main import main

    wrong = ("--group-size", "48", "--rule", "*.q_proj=W8 g32 sym")
    refused(capsys, "plan", model, *wrong)
    kept = tmp_path / "r.json"
    assert main(["plan", model, *wrong, "--runtime", "vllm", "--mend", "-o", str(kept), "--json"]) == 0
    captured = capsys.readouterr()
    made = json.loads(captured.out)
    assert made["findings"] == [] and len(made["mended"]) == 2
    assert made["mended"][0].keys() == {"runtime", "code", "does"}
    assert captured.err.count("mended for ") == 2
    assert document(capsys, "plan", model, "--recipe", str(kept))["recipe"] == made["recipe"]
    assert main(["plan", model, "--recipe", str(kept), "--runtime", "vllm", "--mend"]) == 0
    captured = capsys.readouterr()
    assert "nothing to mend" in captured.err and "nothing to say against vllm" in captured.out


def test_a_mend_and_a_budget_are_not_for_one_command(capsys: pytest.CaptureFixture[str], model: str) -> None:
    assert "contradict each other" in refused(capsys, "plan", model, "--mend", "--target-bpw", "4")
