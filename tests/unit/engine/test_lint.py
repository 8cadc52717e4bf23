"""The linter: each rule springs where its reader trips, on the tensors that are the cause, and its mend spares it.

Where the reader runs on a CPU, `tests/end2end/test_load_compressed_tensors.py` and `test_lint_readers.py` show that it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import RUNTIMES, Finding, Severity
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.usual import suited
from qtquant_app.engine.lint import lint, lint_refused
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, small_llama, write_checkpoint
from tests.stacked_experts import write_stacked

W4 = Scheme(4, group_size=32)
W8 = Scheme(8, strategy="channel", group_size=None)
W8A8 = Scheme(8, strategy="channel", group_size=None, activations="int8")
TENSOR = Scheme(4, strategy="tensor", group_size=None)
ASYMMETRIC = Scheme(4, group_size=32, symmetric=False)
NVFP4, BLOCKS, BLOCKS_A8 = map(parse_label, ("NVFP4", "FP8 128x128", "FP8 128x128 A8"))
O_PROJ = ("0.self_attn.o_proj", "1.self_attn.o_proj")
HEAD = ("lm_head",)
LINEAR = tuple(
    f"{block}.{name}"
    for block in (0, 1)
    for name in (
        *(f"self_attn.{which}_proj" for which in "qkvo"),
        *(f"mlp.{which}_proj" for which in ("gate", "up", "down")),
    )
)
THREE = Scheme(3, group_size=32)
LOADS = (Severity.NEEDS, Severity.NOTE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    odd = llama_tensors()
    odd["model.layers.0.mlp.extra.weight"] = torch.randn(40, 64, dtype=torch.float32).bfloat16()
    return {
        "llama": small_llama(folder / "llama"),
        "moe": write_checkpoint(
            folder / "moe", moe_tensors(), {**LLAMA_CONFIG, "architectures": ["MixtralForCausalLM"]}
        ),
        "stacked": write_stacked(folder / "stacked", "granite")[0],
        "half": small_llama(folder / "half", dtype=torch.float16),
        "odd": write_checkpoint(folder / "odd", odd),
        "bare": write_checkpoint(folder / "bare", llama_tensors(), {}),
    }


def moe_tensors() -> dict[str, torch.Tensor]:
    """Two blocks of attention and three experts each."""
    tensors = {name: tensor for name, tensor in llama_tensors().items() if ".mlp." not in name}
    for block in range(2):
        for expert in range(3):
            for name, shape in (("w1", (128, 64)), ("w3", (128, 64)), ("w2", (64, 128))):
                key = f"model.layers.{block}.block_sparse_moe.experts.{expert}.{name}.weight"
                tensors[key] = torch.randn(shape).bfloat16()
    return tensors


def found(folder: Path, recipe: Recipe, *runtimes: str, ranks: int = 1) -> dict[tuple[str, str], Finding]:
    checkpoint = open_checkpoint(folder)
    findings = lint(make_plan(checkpoint, recipe, device="cpu"), checkpoint, runtimes, tensor_parallel=ranks)
    return {(finding.runtime, finding.code): finding for finding in findings}


@dataclass(frozen=True)
class Case:
    """A recipe that springs one trap: on `tensors`, by the end of their modules; and one that does not."""

    runtime: str
    code: str
    model: str
    recipe: Recipe
    tensors: tuple[str, ...]
    severity: Severity = Severity.REFUSES
    ranks: int = 1
    mended: str = ""


R = Recipe
CASES = [
    Case("vllm", "per-tensor", "llama", R(W4, (Rule("*.o_proj", TENSOR),)), O_PROJ),
    Case(
        "vllm",
        "fused",
        "llama",
        R(W4, (Rule("*.0.self_attn.q_proj", W8),)),
        ("0.self_attn.k_proj", "0.self_attn.q_proj", "0.self_attn.v_proj"),
    ),
    Case("vllm", "fused", "llama", R(W4, (), ("*.1.mlp.up_proj",)), ("1.mlp.gate_proj", "1.mlp.up_proj")),
    Case(
        "vllm",
        "experts-differ",
        "moe",
        R(W4, (Rule("*.0.block_sparse_moe.experts.*.w2", W8),)),
        tuple(f"0.block_sparse_moe.experts.{e}.{w}" for e in range(3) for w in ("w1", "w2", "w3")),
    ),
    Case("vllm", "rank-groups", "llama", R(Scheme(4, group_size=64)), O_PROJ, ranks=2),
    Case(
        "vllm",
        "rank-groups",
        "moe",
        R(Scheme(4, group_size=64), (Rule("*.o_proj", W8),)),
        tuple(f"{b}.block_sparse_moe.experts.{e}.w2" for b in (0, 1) for e in range(3)),
        ranks=4,
    ),
    Case("vllm", "head", "llama", R(W4, (Rule("lm_head", W8),)), ("lm_head",), Severity.NOTE),
    Case("vllm", "kernel-width", "llama", R(W4, (Rule("*.o_proj", Scheme(3, group_size=32)),)), O_PROJ, Severity.NOTE),
    Case(
        "vllm",
        "kernel-asymmetric",
        "llama",
        R(W4, (Rule("*.o_proj", Scheme(8, group_size=32, symmetric=False)),)),
        O_PROJ,
        Severity.NOTE,
    ),
    Case("vllm", "kernel-group", "llama", R(W4, (Rule("*.o_proj", Scheme(4, group_size=16)),)), O_PROJ, Severity.NOTE),
    Case(
        "vllm-cpu",
        "cpu-experts",
        "moe",
        R(W8A8, (Rule("*.experts.0.w1", W4),)),
        ("0.block_sparse_moe.experts.0.w1", "1.block_sparse_moe.experts.0.w1"),
    ),
    Case("vllm-cpu", "cpu-width", "llama", R(W4, (Rule("*.o_proj", W8),)), O_PROJ),
    Case("vllm-cpu", "cpu-shape", "odd", R(W4), ("0.mlp.extra",)),
    Case("vllm-cpu", "cpu-group", "llama", R(W4, (Rule("*.o_proj", Scheme(4, group_size=1)),)), O_PROJ),
    Case("transformers", "asymmetric", "llama", R(W8, (Rule("*.o_proj", ASYMMETRIC),)), O_PROJ, Severity.NEEDS),
    Case("transformers", "asymmetric-mixed", "llama", R(W8, (Rule("*.o_proj", ASYMMETRIC),)), O_PROJ, Severity.WRONG),
    Case(
        "transformers",
        "odd-width",
        "llama",
        R(W8, (Rule("*.o_proj", Scheme(5, group_size=32)),)),
        O_PROJ,
        Severity.NEEDS,
    ),
    Case(
        "transformers",
        "asymmetric-experts",
        "moe",
        R(W4, (Rule("*.1.*.experts.2.w1", ASYMMETRIC),)),
        ("1.block_sparse_moe.experts.2.w1",),
    ),
    Case(
        "transformers",
        "int8-experts",
        "moe",
        R(W4, (Rule("*.1.*.experts.2.w1", W8A8),)),
        ("1.block_sparse_moe.experts.2.w1",),
    ),
    Case(
        "transformers",
        "kept-experts",
        "moe",
        R(W4, (Rule("*.1.*.experts.2.w1", "keep"),)),
        ("1.block_sparse_moe.experts.2.w1",),
    ),
    Case(
        "transformers",
        "kept-experts",
        "moe",
        R(W4, (), ("*.1.*.experts.2.*",)),
        tuple(f"1.block_sparse_moe.experts.2.{w}" for w in ("w1", "w2", "w3")),
    ),
    Case(
        "transformers",
        "mixed-experts",
        "moe",
        R(W4, (Rule("*.1.*.experts.2.w1", W8),)),
        tuple(f"{b}.block_sparse_moe.experts.{e}.{w}" for b in (0, 1) for e in range(3) for w in ("w1", "w2", "w3")),
        Severity.WRONG,
    ),
    Case(
        "transformers",
        "stacked-experts",
        "stacked",
        R(W4),
        tuple(f"{b}.block_sparse_moe.experts.{e}.{w}" for b in (0, 1) for e in range(3) for w in ("w1", "w2", "w3")),
        Severity.WRONG,
    ),
    Case("vllm", "block-columns", "llama", R(W4, (Rule("*.o_proj", BLOCKS),)), O_PROJ),
    Case("vllm-cpu", "cpu-float", "llama", R(W4, (Rule("*.o_proj", BLOCKS),)), O_PROJ, Severity.NOTE),
    Case("transformers", "float4-dtype", "half", R(W4, (Rule("*.o_proj", NVFP4),)), O_PROJ, Severity.NEEDS),
    Case(
        "transformers",
        "nvfp4-experts",
        "moe",
        R(NVFP4),
        tuple(f"{b}.block_sparse_moe.experts.{e}.{w}" for b in (0, 1) for e in range(3) for w in ("w1", "w2", "w3")),
        Severity.WRONG,
    ),
    Case("transformers", "block-activations", "llama", R(W4, (Rule("*.o_proj", BLOCKS_A8),)), O_PROJ),
    Case("vllm-gptq", "gptq-asymmetric", "llama", R(ASYMMETRIC, format="gptq"), LINEAR),
    Case("vllm-gptq", "gptq-width", "llama", R(W4, (Rule("*.o_proj", THREE),), format="gptq"), O_PROJ),
    Case("transformers-gptq", "gptq-mixed", "llama", R(W4, (Rule("*.o_proj", THREE),), format="gptq"), LINEAR),
    Case("transformers-gptq", "gptq-kept", "llama", R(W4, (), ("*.o_proj",), "gptq"), O_PROJ, Severity.WRONG),
    Case("transformers-gptq", "gptq-head", "llama", R(W4, (Rule("lm_head", W4),), format="gptq"), HEAD, Severity.WRONG),
    Case("transformers-awq", "awq-head", "llama", R(W4, (Rule("lm_head", W4),), format="awq"), HEAD, Severity.WRONG),
    Case("transformers-old", "old-widths", "llama", R(W8, (Rule("*.o_proj", Scheme(3, group_size=32)),)), O_PROJ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.runtime}-{case.code}")
def test_a_trap_springs_on_the_tensors_that_cause_it_and_its_mend_spares_it(
    case: Case, folders: dict[str, Path]
) -> None:
    key = (case.runtime, case.code)
    finding = found(folders[case.model], case.recipe, case.runtime, ranks=case.ranks)[key]
    assert finding.severity == case.severity and finding.source and finding.text
    wanted = {name if name == "lm_head" else f"model.layers.{name}" for name in case.tensors}
    assert set(finding.tensors) == {f"{name}.weight" for name in wanted}
    assert finding.mend is not None and finding.does
    assert key not in found(folders[case.model], finding.mend, case.runtime, ranks=case.ranks)


def test_every_trap_has_a_case() -> None:
    tried = {code for _, code in ((case.runtime, case.code) for case in CASES)}
    # What transformers takes apart, it alone can tell: tests/end2end holds that one.
    assert {trap.code for runtime in RUNTIMES for trap in runtime.traps} == tried | {
        "split-projections",
        "split-scales",
        "split-nvfp4",
    }


@pytest.mark.parametrize("runtime", [runtime.name for runtime in RUNTIMES])
def test_a_plain_recipe_has_nothing_against_it(runtime: str, folders: dict[str, Path]) -> None:
    format = next(found.formats[0] for found in RUNTIMES if found.name == runtime)
    # A GGUF file takes a whole model with its vocabulary.
    folder = Path("sample") if format == "gguf" else folders["llama"]
    assert not found(folder, Recipe(suited(W4, format), format=format), runtime)


def test_a_reader_of_another_format_is_told_and_the_mend_is_the_format_it_reads(folders: dict[str, Path]) -> None:
    finding = found(folders["llama"], Recipe(Scheme(3, group_size=32)), "qtquant")["qtquant", "format"]
    assert finding.severity is Severity.REFUSES and "compressed-tensors" in finding.text
    assert finding.mend == Recipe(W4, format="qtquant")
    back = found(folders["llama"], finding.mend, "vllm")["vllm", "format"]
    assert back.mend == Recipe(W4)


def test_weights_without_a_config_load_nowhere(folders: dict[str, Path]) -> None:
    assert found(folders["bare"], Recipe(W4), "vllm", "transformers").keys() == {
        ("vllm", "no-config"),
        ("transformers", "no-config"),
    }


def test_mends_change_what_they_must_and_nothing_else(folders: dict[str, Path]) -> None:
    def mended(recipe: Recipe, code: str, runtime: str = "vllm", model: str = "llama", ranks: int = 1) -> Recipe | None:
        return found(folders[model], recipe, runtime, ranks=ranks)[runtime, code].mend

    assert mended(Recipe(TENSOR), "per-tensor") == Recipe(Scheme(4, strategy="channel", group_size=None))
    assert mended(Recipe(Scheme(4, group_size=64)), "rank-groups", ranks=4) == Recipe(Scheme(4, group_size=16))
    assert mended(Recipe(W4, (Rule("*.q_proj", W8),)), "fused") == Recipe(
        W4, (Rule("re:.*\\.(k_proj|v_proj)$", W8), Rule("*.q_proj", W8))
    )
    assert mended(Recipe(W8, (Rule("*.q_proj", W4),)), "fused") == Recipe(W8)
    kept = mended(Recipe(W4, (), ("*.q_proj",)), "fused")
    assert kept is not None and kept.ignore == ("*.q_proj",) and kept.rules[0].scheme == "keep"
    assert mended(Recipe(W4, (), ("*.experts.*",)), "kept-experts", "transformers", "moe") == Recipe(W4)
    assert mended(Recipe(W4, (Rule("lm_head", W8),)), "head") == Recipe(W4)


def test_a_scheme_that_differs_in_its_method_alone_is_the_same_to_a_reader(folders: dict[str, Path]) -> None:
    recipe = Recipe(W4, (Rule("*.q_proj", Scheme(4, group_size=32, method="mse")),))
    assert not found(folders["llama"], recipe, "vllm", "transformers")


def test_the_worst_comes_first_and_all_of_it_is_json(folders: dict[str, Path]) -> None:
    findings = list(
        found(
            folders["llama"], Recipe(ASYMMETRIC, (Rule("*.q_proj", Scheme(3, group_size=32)),)), "vllm", "transformers"
        ).values()
    )
    order = [list(Severity).index(finding.severity) for finding in findings]
    assert order == sorted(order) and len(findings) > 3
    row = findings[0].to_json()
    assert set(row) >= {"code", "severity", "runtime", "version", "tensors", "text", "mend"}
    assert Recipe.from_json(row["mend"]) == findings[0].mend


def test_what_is_no_runtime_and_what_is_no_number_of_devices_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError) as caught:
        found(folders["llama"], Recipe(W4), "ollama")
    assert "vllm-cpu" in caught.value.hint
    with pytest.raises(UsageError):
        found(folders["llama"], Recipe(W4), "vllm", ranks=0)


@pytest.mark.parametrize(
    ("recipe", "mended"),
    [
        (Recipe(Scheme(4, group_size=48)), Recipe(W4)),
        (Recipe(Scheme(4, group_size=128)), Recipe(Scheme(4, group_size=64))),
        (
            Recipe(W4, (Rule("*.o_proj", Scheme(4, group_size=128)),)),
            Recipe(W4, (Rule("*.o_proj", Scheme(4, group_size=64)),)),
        ),
        (Recipe(Scheme(3, group_size=32), format="qtquant"), Recipe(W4, format="qtquant")),
    ],
)
def test_what_the_format_refuses_has_a_mend_too(recipe: Recipe, mended: Recipe, folders: dict[str, Path]) -> None:
    checkpoint = open_checkpoint(folders["llama"])
    with pytest.raises(PlanError) as caught:
        make_plan(checkpoint, recipe, device="cpu")
    (finding,) = lint_refused(recipe, checkpoint, caught.value)
    assert finding.mend == mended and finding.tensors


def test_a_tied_head_is_mended_by_keeping_it(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(
        write_checkpoint(tmp_path / "m", llama_tensors(), {**LLAMA_CONFIG, "tie_word_embeddings": True})
    )
    recipe = Recipe(W4, (Rule("*", W8),))
    with pytest.raises(PlanError) as caught:
        make_plan(checkpoint, recipe, device="cpu")
    (finding,) = lint_refused(recipe, checkpoint, caught.value)
    assert finding.tensors == ("lm_head.weight",)
    assert finding.mend is not None and finding.mend.rules[0] == Rule("lm_head", "keep")
    assert not lint_refused(recipe, checkpoint, PlanError("no room", code="disk"))


SCHEMES = st.builds(
    lambda bits, size, symmetric: Scheme(
        bits, strategy="group" if size else "channel", group_size=size or None, symmetric=symmetric
    ),
    st.integers(2, 8),
    st.sampled_from([0, 16, 32, 64]),
    st.booleans(),
) | st.sampled_from([W8A8, TENSOR])
LEAVES = ("q_proj", "k_proj", "v_proj", "o_proj", "w1", "w2", "w3")
RULES = st.lists(
    st.tuples(st.sampled_from([f"{at}.{leaf}" for at in ("*", "*.0.*") for leaf in LEAVES]), SCHEMES | st.just("keep")),
    max_size=4,
    unique_by=lambda rule: rule[0],
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    default=SCHEMES,
    rules=RULES,
    ranks=st.sampled_from([1, 2, 4]),
    runtime=st.sampled_from(["vllm", "transformers", "transformers-old"]),
)
def test_mending_one_finding_after_the_other_ends_in_a_plan_that_loads(
    default: Scheme, rules: list[tuple[str, Scheme | str]], ranks: int, runtime: str, folders: dict[str, Path]
) -> None:
    recipe = Recipe(default, tuple(Rule(pattern, scheme) for pattern, scheme in rules))  # type: ignore[arg-type]
    try:
        make_plan(open_checkpoint(folders["moe"]), recipe, device="cpu")
    except PlanError:
        return
    for _ in range(12):
        bad = [f for f in found(folders["moe"], recipe, runtime, ranks=ranks).values() if f.severity not in LOADS]
        if not bad:
            return
        mend = next((f.mend for f in bad if f.mend is not None), None)
        assert mend is not None, bad
        recipe = mend
    raise AssertionError(bad)
