"""What a budget can ask for besides a size: a device's memory, a quality, and readers that have to load the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.budget import Budget, Treatment
from qtquant_app.core.device_memory import memory_use
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import RUNTIMES, Severity
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Memory, Target
from qtquant_app.engine.allocation import Choices, allocate
from qtquant_app.engine.allocation_by_error import cheapest
from qtquant_app.engine.budget import ALLOWED, Measured, schemes_for, solve, weigh
from qtquant_app.engine.budget_target import resident_bytes
from qtquant_app.engine.lint import lint
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, small_llama, write_checkpoint
from tests.driving import result

LABELS = ("W2 g32 asym mse", "W3 g64 asym", "W4 g64 asym", "W4 ch sym", "W6 g32 sym", "W8 ch sym")
SCHEMES = tuple(map(parse_label, LABELS))
LIKE = parse_label("W5 g32 sym")

CLASSES = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), min_size=1, max_size=4).map(
        lambda pairs: Choices([size for size, _ in pairs], [float(error) for _, error in pairs])
    ),
    min_size=1,
    max_size=6,
)


def measured(
    source: Path, schemes: Sequence[Treatment] = SCHEMES, recipe: Recipe | None = None, **more: object
) -> Measured:
    checkpoint = open_checkpoint(source)
    return result(weigh(checkpoint, recipe or Recipe(), schemes=schemes, device="cpu", cache=False, **more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measured(small_llama(tmp_path_factory.mktemp("small") / "m", blocks=3), also=[LIKE])


def resident(found: Budget) -> int:
    return sum(tensor.nbytes for file in found.plan.files for tensor in file.tensors)


def needed(small: Measured, context: int) -> int:
    """What the smallest mix takes of a device."""
    plan = small.plan(small.smallest.chosen)
    return memory_use(small.checkpoint.config, Memory(1, context=context), resident_bytes(plan)).total


def tried(classes: list[Choices], most: float) -> int | None:
    """The fewest bytes of all combinations within the error."""
    sizes = []
    for chosen in product(*(range(len(choices.bytes)) for choices in classes)):
        if sum(c.errors[at] for c, at in zip(classes, chosen, strict=True)) <= most:
            sizes.append(sum(c.bytes[at] for c, at in zip(classes, chosen, strict=True)))
    return min(sizes, default=None)


@settings(max_examples=600, deadline=None)
@given(CLASSES, st.integers(0, 200))
def test_nothing_within_the_error_takes_fewer_bytes(classes: list[Choices], most: int) -> None:
    found, expected = cheapest(classes, float(most)), tried(classes, most)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.bytes == expected and found.error <= most
        assert found.error == allocate(classes, found.bytes).error  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(st.integers(-20_000, 160_000), st.integers(0, 30_000), st.sampled_from([1, 64, 512]))
def test_weights_cache_and_overhead_fit_the_device_and_more_of_it_never_hurts(
    small: Measured, room: int, more: int, context: int
) -> None:
    size = needed(small, context) + room
    if room < 0:
        with pytest.raises(PlanError, match="the smallest that is allowed is weights"):
            solve(small, Target(memory=Memory(size, context=context)))
        return
    found, larger = (solve(small, Target(memory=Memory(size + extra, context=context))) for extra in (0, more))
    use = found.memory
    assert use is not None and use.weights == resident(found)
    assert use.weights + use.cache + use.overhead.total == use.total <= use.limit == size
    assert use.cache == 3 * 2 * 2 * 16 * 2 * context == found.to_json()["memory"]["cache"]
    assert larger.error <= found.error
    better = allocate([one.choices for one in small.sets], sum(a.bytes for a in found.assignments) + size - use.total)
    assert better is not None and better.error == found.error


def test_what_does_not_fit_a_device_is_refused_with_the_context_that_would(small: Measured) -> None:
    device = needed(small, 700)
    with pytest.raises(PlanError) as caught:
        solve(small, Target(memory=Memory(device, context=10**6)))
    assert "of memory with 1,000,000 tokens of context" in caught.value.message
    assert "cache" in caught.value.message and caught.value.exit_status == 2
    assert "a context of at most 700 tokens fits" in caught.value.hint
    assert solve(small, Target(memory=Memory(device, context=700)))
    with pytest.raises(PlanError):
        solve(small, Target(memory=Memory(device, context=701)))


def test_a_device_too_small_for_the_runtime_itself_gets_no_advice_about_context(small: Measured) -> None:
    with pytest.raises(PlanError) as caught:
        solve(small, Target(memory=Memory(10**6)))
    assert "context of at most" not in caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 1.2))
def test_a_quality_is_kept_to_by_the_smallest_mix(small: Measured, share: float) -> None:
    least = solve(small, Target(bytes=10**9)).error
    most = solve(small, Target(bytes=small.plan(small.smallest.chosen).output_bytes)).error
    bound = least + share * (most - least)
    found = solve(small, Target(error=bound))
    assert found.error <= bound * (1 + 1e-9)
    classes = [one.choices for one in small.sets]
    tensors = sum(one.bytes for one in found.assignments)
    fewer = allocate(classes, tensors - 1)
    if fewer is not None and fewer.error <= bound:  # one scheme for all takes less of a config
        assert found.plan.output_bytes < small.plan(fewer.chosen).output_bytes
        assert len({one.treatment for one in found.assignments if not one.fixed}) == 1


def test_a_mix_as_good_as_a_scheme_for_all_is_no_larger_than_it(small: Measured) -> None:
    for label, chosen in small.uniform:
        found = solve(small, Target(like=parse_label(label)))
        assert found.error <= small.spent(chosen)[1] * (1 + 1e-9)
        assert found.plan.output_bytes <= small.plan(chosen).output_bytes


def test_a_scheme_to_be_as_good_as_need_not_be_allowed(small: Measured, tmp_path: Path) -> None:
    allowed = measured(small_llama(tmp_path / "m", blocks=3), (*SCHEMES, LIKE))
    at = dict(allowed.uniform)[LIKE.label]
    found = solve(small, Target(like=LIKE))
    assert found.error <= allowed.spent(at)[1] * (1 + 1e-9)
    assert LIKE not in {one.treatment for one in found.assignments}
    assert LIKE.label not in {point.label for point in found.uniform}


def test_a_quality_that_nothing_has_is_refused_with_the_best_there_is(small: Measured) -> None:
    with pytest.raises(PlanError, match="the least error of what is allowed is") as caught:
        solve(small, Target(error=1e-9))
    assert caught.value.exit_status == 2
    with pytest.raises(UsageError, match="was not measured"):
        solve(small, Target(like=Scheme(7, group_size=32)))


def test_a_scheme_that_does_not_fit_all_tensors_is_nothing_to_be_held_against(tmp_path: Path) -> None:
    found = measured(small_llama(tmp_path / "m"), also=[Scheme(4, group_size=128)])
    with pytest.raises(PlanError, match=r"does not fit model\.layers\.0"):
        solve(found, Target(like=Scheme(4, group_size=128)))


def test_only_the_original_is_without_error(tmp_path: Path) -> None:
    found = measured(small_llama(tmp_path / "m"), (*SCHEMES, "keep"))
    with pytest.raises(PlanError, match="only the original has a predicted error of at most 1e-12"):
        solve(found, Target(error=1e-12))


def test_what_a_budget_chooses_from_is_what_its_readers_take() -> None:
    assert schemes_for(()) == schemes_for(["vllm"]) == schemes_for(["qtquant"]) == ALLOWED
    assert all(scheme.symmetric for scheme in schemes_for(["transformers"]))
    assert {scheme.bits for scheme in schemes_for(["transformers"])} == {2, 3, 4, 5, 6, 8}
    assert {scheme.bits for scheme in schemes_for(["vllm-cpu"])} == {4}
    assert {scheme.bits for scheme in schemes_for(["transformers-old"])} == {2, 4, 8}
    assert set(schemes_for(["transformers", "vllm-cpu"])) < set(schemes_for(["vllm-cpu"]))
    with pytest.raises(UsageError, match="there is no runtime"):
        schemes_for(["ollama"])


EVERYTHING = (*ALLOWED, *schemes_for(["transformers"]), "keep")


@pytest.mark.parametrize("runtime", [one.name for one in RUNTIMES if "compressed-tensors" in one.formats])
@pytest.mark.parametrize("kind", ["llama", "experts"])
def test_no_reader_has_a_mix_made_for_it_refused(runtime: str, kind: str, tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m") if kind == "llama" else experts(tmp_path / "m")
    found = measured(source, EVERYTHING, runtimes=[runtime])  # type: ignore[arg-type]
    least = solve(found, Target(bits_per_weight=4.6))
    for bits in (2.7, 3.1, 3.5, 4.6, 6.5, 9.0):
        try:
            mix = solve(found, Target(bits_per_weight=bits))
        except PlanError:
            assert bits < least.plan.bits_per_weight
            continue
        codes = {f.code: f.severity for f in lint(mix.plan, found.checkpoint, [runtime])}
        assert not {Severity.REFUSES, Severity.WRONG} & set(codes.values()), codes


def test_a_mix_that_is_not_for_transformers_springs_its_traps(small: Measured) -> None:
    mix = solve(small, Target(bits_per_weight=3.5))
    found = {finding.code for finding in lint(mix.plan, small.checkpoint, ["transformers"])}
    assert "asymmetric-mixed" in found


def test_all_experts_share_a_scheme_where_a_reader_decodes_them_by_one(tmp_path: Path) -> None:
    source = experts(tmp_path / "m")
    apart = solve(measured(source, SCHEMES), Target(bits_per_weight=3.3))
    together = solve(measured(source, SCHEMES, runtimes=["transformers"]), Target(bits_per_weight=5.0))
    sizes = [[len(a.modules) for a in found.assignments if "experts" in a.modules[0]] for found in (apart, together)]
    assert sizes == [[9, 9], [18]]


def test_what_a_reader_takes_in_float_only_is_kept_and_says_why(tmp_path: Path) -> None:
    found = measured(experts(tmp_path / "m"), schemes_for(["vllm-cpu"]), runtimes=["vllm-cpu"])
    mix = solve(found, Target(bits_per_weight=4.6))
    reasons = {one.reason for one in mix.assignments if "experts" in one.modules[0]}
    assert {one.label for one in mix.assignments if "experts" in one.modules[0]} == {"keep"}
    assert reasons == {"vLLM 0.32 has no kernel for packed experts on a CPU"}


def test_where_nothing_that_is_allowed_is_read_the_reader_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"transformers 5\.23 does not load asymmetric experts") as caught:
        measured(experts(tmp_path / "m"), [Scheme(4, group_size=32, symmetric=False)], runtimes=["transformers"])
    assert "--runtime" in caught.value.hint


def test_one_asymmetric_scheme_for_all_is_no_mix(tmp_path: Path) -> None:
    found = measured(
        small_llama(tmp_path / "m"), [Scheme(4, group_size=32, symmetric=False)], runtimes=["transformers"]
    )
    assert solve(found, Target(bits_per_weight=8.0)).plan.quantized
    other = Recipe(rules=(Rule("*.0.mlp.down_proj", Scheme(8, strategy="channel", group_size=None)),))
    mixed = measured(
        small_llama(tmp_path / "n"), [Scheme(4, group_size=32, symmetric=False)], other, runtimes=["transformers"]
    )
    assert {one.treatments for one in mixed.sets if one.fixed} >= {("keep",)}


def test_shares_of_several_devices_are_made_of_whole_groups(tmp_path: Path) -> None:
    found = measured(small_llama(tmp_path / "m"), SCHEMES, runtimes=["vllm"], tensor_parallel=4)
    out = next(one for one in found.sets if one.modules[0].endswith("0.self_attn.o_proj"))
    assert {t.group_size for t in out.treatments if isinstance(t, Scheme)} == {None}
    down = next(one for one in found.sets if one.modules[0].endswith("0.mlp.down_proj"))
    assert {t.group_size for t in down.treatments if isinstance(t, Scheme)} == {None, 32}


def test_readers_of_another_format_have_no_say(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m")
    schemes = [Scheme(4, group_size=32, symmetric=False), Scheme(8, group_size=32, symmetric=False)]
    found = measured(source, schemes, Recipe(format="qtquant"), runtimes=["transformers"])
    assert all(one.treatments == tuple(schemes) for one in found.sets if not one.fixed)


def test_a_tensor_that_can_only_be_kept_has_no_part_in_bits_per_weight(tmp_path: Path) -> None:
    found = measured(small_llama(tmp_path / "m"), [Scheme(4, group_size=128), "keep"])
    mix = solve(found, Target(bits_per_weight=4.2))
    assert {tensor.module.rpartition(".")[2] for tensor in mix.plan.quantized} == {"down_proj"}


def experts(folder: Path) -> Path:
    tensors = {name: tensor for name, tensor in llama_tensors(2).items() if ".mlp." not in name}
    random = torch.Generator().manual_seed(1)
    for block, expert in product(range(2), range(3)):
        for part, shape in (("gate", (128, 64)), ("up", (128, 64)), ("down", (64, 128))):
            weight = torch.randn(shape, generator=random).to(torch.bfloat16)
            tensors[f"model.layers.{block}.mlp.experts.{expert}.{part}_proj.weight"] = weight
    return write_checkpoint(folder, tensors, {**LLAMA_CONFIG, "architectures": ["Qwen3MoeForCausalLM"]})


def test_keys_and_values_of_fewer_bits_leave_more_for_the_weights(small: Measured) -> None:
    memory = Memory(needed(small, 8000) + 5000, context=8000)
    errors = [solve(small, Target(memory=replace(memory, kv_bits=bits))).error for bits in (16, 8, 4)]
    assert errors == sorted(errors, reverse=True) and errors[0] > errors[-1]
