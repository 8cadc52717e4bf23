"""The budget: what fits, what moves together, what is locked, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.budget import Budget, Treatment
from qtquant_app.core.errors import PlanError, RuleError, UsageError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Target
from qtquant_app.engine.budget import Measured, solve, weigh
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, small_llama, write_checkpoint
from tests.driving import result

LABELS = ("W2 g32 asym mse", "W3 g64 asym", "W4 g64 asym", "W4 ch sym", "W6 g32 sym", "W8 ch sym")
SCHEMES = tuple(map(parse_label, LABELS))
W4 = Scheme(group_size=32)


def measured(
    source: Path,
    recipe: Recipe | None = None,
    schemes: Sequence[Treatment] = SCHEMES,
    locked: Sequence[str] = (),
) -> Measured:
    checkpoint = open_checkpoint(source)
    return result(weigh(checkpoint, recipe or Recipe(), schemes=schemes, locked=locked, device="cpu", cache=False))


def by_module(plan: Plan) -> dict[str, Scheme | None]:
    return {tensor.module: tensor.scheme for tensor in plan.tensors}


def bits(found: Measured, target: float) -> Budget:
    return solve(found, Target(bits_per_weight=target))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measured(small_llama(tmp_path_factory.mktemp("small") / "m", blocks=3))


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Keeping is a choice; two shards, so that there is an index too."""
    source = small_llama(tmp_path_factory.mktemp("keep") / "m", blocks=3, shards=2)
    return measured(source, schemes=(*SCHEMES, "keep"))


@settings(max_examples=60, deadline=None)
@given(st.integers(70_000, 210_000))
def test_no_plan_is_larger_than_its_target_and_its_recipe_gives_it_again(open_to_all: Measured, size: int) -> None:
    least = open_to_all.plan(open_to_all.smallest.chosen).output_bytes
    if size < least:
        with pytest.raises(PlanError, match=f"{least:,} bytes"):
            solve(open_to_all, Target(bytes=size))
        return
    found = solve(open_to_all, Target(bytes=size))
    assert found.plan.output_bytes <= size
    again = make_plan(open_to_all.checkpoint, Recipe.loads(found.recipe.dumps()), device="cpu")
    assert replace(again, peak_ram_bytes=found.plan.peak_ram_bytes) == found.plan  # which looks at this process
    got = by_module(found.plan)
    for one in found.assignments:
        assert {got[module] for module in one.modules} == {None if one.treatment == "keep" else one.treatment}
    assert sum(one.error for one in found.assignments) == pytest.approx(found.error)


@settings(max_examples=60, deadline=None)
@given(st.integers(80_000, 180_000), st.integers(0, 30_000))
def test_a_larger_target_never_has_a_larger_error(open_to_all: Measured, size: int, more: int) -> None:
    if size >= open_to_all.plan(open_to_all.smallest.chosen).output_bytes:
        small, large = (solve(open_to_all, Target(bytes=target)) for target in (size, size + more))
        assert large.error <= small.error


@settings(max_examples=40, deadline=None)
@given(st.floats(2.8, 9), st.floats(0, 2))
def test_bits_per_weight_are_kept_to_and_more_of_them_never_hurt(small: Measured, low: float, more: float) -> None:
    found = bits(small, low)
    assert found.plan.bits_per_weight <= low
    assert bits(small, low + more).error <= found.error


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.floats(0.0, 1.0), st.sampled_from(["compressed-tensors", "qtquant"]))
def test_a_run_writes_no_more_than_the_target(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, format: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    source = write_checkpoint(folder / "m", llama_tensors(1 + seed % 3, seed=seed))
    labels = ("W2 g32 asym", "W4 g64 sym", "W8 ch sym")
    found = measured(source, Recipe(format=format), [*map(parse_label, labels), "keep"])
    least = found.plan(found.smallest.chosen).output_bytes
    size = round(least + share * 60_000)
    mix = solve(found, Target(bytes=size))
    result(run(mix.plan, RunOptions(str(folder / "out"))))
    copied = set(mix.plan.copied) | {"qtquant.json"}
    written = [path for path in (folder / "out").iterdir() if path.name not in copied]
    assert sum(path.stat().st_size for path in written) == mix.plan.output_bytes <= size


def test_what_a_reader_fuses_gets_one_scheme(small: Measured) -> None:
    for target in (2.9, 3.3, 4.1, 5.0, 6.5):
        got = by_module(bits(small, target).plan)
        for block in range(3):
            attention, mlp = f"model.layers.{block}.self_attn", f"model.layers.{block}.mlp"
            assert len({got[f"{attention}.{part}_proj"] for part in "qkv"}) == 1
            assert len({got[f"{mlp}.{part}_proj"] for part in ("gate", "up")}) == 1


def test_all_experts_of_a_block_get_one_scheme(tmp_path: Path) -> None:
    tensors = llama_tensors(2)
    random = torch.Generator().manual_seed(1)
    for block in range(2):
        for expert in range(3):
            for part in ("gate", "up", "down"):
                name = f"model.layers.{block}.mlp.experts.{expert}.{part}_proj.weight"
                tensors[name] = torch.randn(64, 64, generator=random).to(torch.bfloat16)
    source = write_checkpoint(tmp_path / "m", tensors, {"model_type": "unknown"})
    found = bits(measured(source), 3.6)
    experts = [one for one in found.assignments if "experts" in one.modules[0]]
    assert [len(one.modules) for one in experts] == [9, 9]


def test_locked_modules_are_kept_and_what_is_fused_with_them_too(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m")
    found = measured(source, locked=("*.0.self_attn.k_proj", "*.down_proj"))
    got = by_module(bits(found, 4.0).plan)
    for name in ("0.self_attn.k_proj", "0.self_attn.q_proj", "0.self_attn.v_proj", "0.mlp.down_proj"):
        assert got[f"model.layers.{name}"] is None
    assert got["model.layers.1.self_attn.q_proj"] is not None
    reasons = {module: one.reason for one in bits(found, 4.0).assignments for module in one.modules}
    assert "model.layers.0.self_attn.k_proj" in reasons["model.layers.0.self_attn.q_proj"]
    assert reasons["model.layers.0.self_attn.k_proj"] == "ignored by *.0.self_attn.k_proj"


def test_rules_of_the_recipe_stay_and_only_its_default_is_chosen(tmp_path: Path) -> None:
    base = Recipe(rules=(Rule("*.down_proj", W4), Rule("lm_head", W4)), ignore=("*.0.self_attn.o_proj",))
    found = bits(measured(small_llama(tmp_path / "m"), base), 3.2)
    got = by_module(found.plan)
    assert got["model.layers.1.mlp.down_proj"] == got["lm_head"] == W4
    assert got["model.layers.0.self_attn.o_proj"] is None
    assert found.recipe.rules[:2] == base.rules and found.plan.bits_per_weight <= 3.2


def test_a_head_is_kept_unless_a_rule_names_it(small: Measured) -> None:
    assert by_module(bits(small, 4.0).plan)["lm_head"] is None


def test_every_assignment_says_what_its_neighbours_cost(small: Measured) -> None:
    found = bits(small, 3.7)
    for one in found.assignments:
        if one.modules == ("lm_head",):
            continue
        assert one.smaller is None or (one.smaller.bytes_more < 0 and "save" in one.reason)
        assert one.larger is None or (one.larger.bytes_more > 0 and one.larger.error_more < 0)
        assert one.smaller or one.larger
    document = found.to_json()
    assert document["output_bytes"] == found.plan.output_bytes
    assert len(document["assignments"]) == len(found.assignments)


def test_the_frontier_begins_at_the_smallest_plan_and_no_uniform_scheme_beats_the_mix(small: Measured) -> None:
    found = solve(small, Target(bytes=120_000))
    assert found.frontier[0].bytes == small.plan(small.smallest.chosen).output_bytes
    assert {point.label for point in found.uniform} == set(LABELS)
    for point in found.uniform:
        mix = solve(small, Target(bytes=point.bytes))
        assert mix.error <= point.error and mix.plan.output_bytes <= point.bytes


def test_a_target_beyond_all_choices_gets_the_best_of_everything(small: Measured) -> None:
    found = solve(small, Target(bytes=10**9))
    assert found.error == found.frontier[-1].error and found.price == 0


def test_a_target_that_nothing_fits_is_refused_with_the_smallest_there_is(small: Measured) -> None:
    with pytest.raises(PlanError) as caught:
        bits(small, 2.0)
    least = small.plan(small.smallest.chosen).bits_per_weight
    assert f"{least:.6g} bits per weight" in caught.value.message
    assert "W2 g32 asym mse" in caught.value.hint and caught.value.exit_status == 2


def test_keeping_is_no_way_to_fewer_bits_per_weight(open_to_all: Measured) -> None:
    found = bits(open_to_all, 3.5)
    assert "keep" not in {one.treatment for one in found.assignments if not one.fixed}


def test_a_checkpoint_that_fits_as_it_is_needs_no_budget(open_to_all: Measured) -> None:
    with pytest.raises(PlanError, match="as it is"):
        solve(open_to_all, Target(bytes=10**9))


def test_a_tensor_that_no_scheme_fits_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="group size 128 does not divide its 64 columns") as caught:
        measured(small_llama(tmp_path / "m"), schemes=[Scheme(group_size=128)])
    assert "--keep" in caught.value.hint


def test_weights_that_are_not_numbers_are_refused_by_name(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors["model.layers.1.mlp.down_proj.weight"][3, 4] = float("nan")
    source = write_checkpoint(tmp_path / "m", tensors)
    with pytest.raises(PlanError, match="NaN") as caught:
        measured(source)
    assert caught.value.hint.endswith("--keep model.layers.1.mlp.down_proj")
    assert measured(source, locked=["model.layers.1.mlp.down_proj"])


def test_a_lock_that_names_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="up_prj"):
        measured(small_llama(tmp_path / "m"), locked=["*.up_prj"])


def test_a_checkpoint_that_is_quantized_already_is_refused(tmp_path: Path) -> None:
    config = {**LLAMA_CONFIG, "quantization_config": {"quant_method": "gptq"}}
    source = write_checkpoint(tmp_path / "m", llama_tensors(), config)
    with pytest.raises(PlanError, match="already quantized"):
        solve(measured(source), Target(bytes=10**6))


@pytest.mark.parametrize("words", [{}, {"bytes": 5, "bits_per_weight": 3.0}, {"bytes": 0}, {"bits_per_weight": -1.0}])
def test_a_target_is_one_positive_number(words: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Target(**words)  # type: ignore[arg-type]


def test_a_budget_needs_a_scheme(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scheme to choose"):
        measured(small_llama(tmp_path / "m"), schemes=["keep"])
