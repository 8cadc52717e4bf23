"""Mending a recipe for all its readers at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, RuleError, UsageError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import RUNTIMES, Severity
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.lint import lint
from qtquant_app.engine.mend_all import MOST, mend_all
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama

W4, W8, W3 = Scheme(4, group_size=32), Scheme(8, group_size=32), Scheme(3, group_size=32)
BOTH = ("vllm", "transformers-old")
SERIOUS = (Severity.REFUSES, Severity.WRONG)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    yield open_checkpoint(small_llama(tmp_path_factory.mktemp("mend") / "m"))


def serious(checkpoint: Checkpoint, recipe: Recipe, runtimes: tuple[str, ...]) -> int:
    found = lint(make_plan(checkpoint, recipe, device="cpu"), checkpoint, runtimes)
    return sum(finding.severity in SERIOUS for finding in found)


def test_several_faults_are_mended_one_after_another(checkpoint: Checkpoint) -> None:
    recipe = Recipe(W4, (Rule("*.q_proj", W8), Rule("*.down_proj", W3)))
    assert serious(checkpoint, recipe, BOTH) > 1
    mended = mend_all(checkpoint, recipe, BOTH)
    assert serious(checkpoint, mended.recipe, BOTH) == 0
    assert len(mended.steps) > 1 and mended.steps[-1].mend == mended.recipe
    assert [row["does"] for row in mended.to_json()] == [step.does for step in mended.steps]


def test_a_recipe_that_the_format_refuses_is_mended_until_it_plans(checkpoint: Checkpoint) -> None:
    recipe = Recipe(Scheme(4, group_size=48), (Rule("*.q_proj", W8),))
    with pytest.raises(PlanError):
        make_plan(checkpoint, recipe, device="cpu")
    mended = mend_all(checkpoint, recipe, ("vllm", "transformers"))
    assert serious(checkpoint, mended.recipe, ("vllm", "transformers")) == 0
    assert mended.steps[0].code == "refused"


def test_nothing_is_done_where_there_is_nothing_to_mend(checkpoint: Checkpoint) -> None:
    mended = mend_all(checkpoint, Recipe(W4), ("vllm", "transformers"))
    assert mended.recipe == Recipe(W4) and mended.steps == ()
    assert mend_all(checkpoint, Recipe(W4), ()).recipe == Recipe(W4)


def test_readers_who_want_opposite_things_end_it_with_the_recipe_as_it_was(checkpoint: Checkpoint) -> None:
    for recipe in (Recipe(W4), Recipe(W4, format="qtquant")):
        mended = mend_all(checkpoint, recipe, ("vllm", "qtquant"))
        assert mended.recipe == recipe and mended.steps == ()
        assert [finding.code for finding in mended.left if finding.severity is Severity.REFUSES] == ["format"]


def test_what_only_a_person_can_mend_is_refused_as_a_plan_refuses_it(checkpoint: Checkpoint) -> None:
    with pytest.raises(RuleError, match=r"matches no module"):
        mend_all(checkpoint, Recipe(W4, (Rule("*.nothing", W8),)), ("vllm",))
    with pytest.raises(UsageError, match="no runtime 'ollama'"):
        mend_all(checkpoint, Recipe(W4), ("ollama",))


SCHEMES = st.builds(
    Scheme,
    bits=st.sampled_from([2, 3, 4, 8]),
    group_size=st.sampled_from([16, 32, 48, 64]),
    symmetric=st.booleans(),
)
RULES = st.lists(
    st.builds(Rule, st.sampled_from(["*.q_proj", "*.mlp.*", "*.1.*"]), st.one_of(SCHEMES, st.just("keep"))),
    max_size=3,
    unique_by=lambda rule: rule.pattern,
)
READERS = st.lists(st.sampled_from([runtime.name for runtime in RUNTIMES]), max_size=3, unique=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(Recipe, SCHEMES, RULES.map(tuple)), READERS, st.sampled_from([1, 2]))
def test_it_never_gets_worse_and_ends(checkpoint: Checkpoint, recipe: Recipe, readers: list[str], ranks: int) -> None:
    try:
        mended = mend_all(checkpoint, recipe, readers, tensor_parallel=ranks)
    except PlanError as refusal:
        with pytest.raises(PlanError, match=r".") as same:
            make_plan(checkpoint, recipe, device="cpu")
        assert same.value.message == refusal.message
        return
    after = lint(make_plan(checkpoint, mended.recipe, device="cpu"), checkpoint, readers, tensor_parallel=ranks)
    assert after == mended.left and len(mended.steps) <= MOST
    try:
        plan = make_plan(checkpoint, recipe, device="cpu")
    except PlanError:
        return
    before = [finding.severity for finding in lint(plan, checkpoint, readers, tensor_parallel=ranks)]
    count = [[finding.severity for finding in after].count(severity) for severity in Severity]
    assert count <= [before.count(severity) for severity in Severity]
    assert bool(mended.steps) == (mended.recipe != recipe)


def test_what_loads_is_no_reason_to_change_anything(checkpoint: Checkpoint) -> None:
    recipe = Recipe(Scheme(3, group_size=16, symmetric=False))
    mended = mend_all(checkpoint, recipe, ("vllm", "transformers"))
    assert mended.recipe == recipe
    assert {finding.severity for finding in mended.left} == {Severity.NEEDS, Severity.NOTE}
    assert all(finding.mend for finding in mended.left) and not any(finding.mendable for finding in mended.left)
