"""What a plan says beforehand, held against what runs come to: bytes to the byte, memory never below and at most a fifth above."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import PlanError
from qtquant_app.core.layouts import LAYOUTS, names
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import RunReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.usual import suited
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.probe import timed
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.formats import registry
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, write_checkpoint

MODULES = ("*.q_proj", "*.mlp.*", "model.layers.0.*", "*.down_proj", "re:.*layers\\.1\\..*", "lm_head", "*.o_proj")
ALLOWANCE = 1.2

schemes = st.builds(
    Scheme,
    bits=st.integers(2, 8),
    strategy=st.just("group"),
    group_size=st.sampled_from((16, 32, 64)),
    symmetric=st.booleans(),
    method=st.sampled_from(("rtn", "rtn", "rtn", "mse")),
) | st.builds(
    Scheme,
    bits=st.integers(2, 8),
    strategy=st.sampled_from(("tensor", "channel")),
    group_size=st.none(),
    symmetric=st.booleans(),
)
recipes = st.builds(
    Recipe,
    schemes | st.just(Scheme(bits=8, strategy="channel", group_size=None, activations="int8")),
    st.lists(st.builds(Rule, st.sampled_from(MODULES), schemes | st.just("keep")), max_size=3).map(tuple),
    st.lists(st.sampled_from(MODULES), max_size=1).map(tuple),
)
layouts = st.builds(
    lambda default, other, pattern: Recipe(Scheme.of_layout(default), (Rule(pattern, Scheme.of_layout(other)),)),
    st.sampled_from(names()),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from((*MODULES, "*embed_tokens")),
)
sources = st.tuples(
    st.sampled_from((torch.bfloat16, torch.float16, torch.float32)), st.integers(1, 3), st.integers(1, 2), st.booleans()
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Path]:
    """A small checkpoint for each dtype, number of shards and blocks, one with an odd tensor of another dtype."""
    made = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for shards in (1, 2, 3):
            for blocks in (1, 2):
                for mixed in (False, True):
                    tensors = llama_tensors(blocks, dtype)
                    if mixed:
                        tensors["model.layers.0.mlp.down_proj.weight"] = torch.randn(64, 128).half()
                        tensors["extra.table"] = torch.arange(7)
                    folder = tmp_path_factory.mktemp("source")
                    config = {**LLAMA_CONFIG, "num_hidden_layers": blocks}
                    made[dtype, shards, blocks, mixed] = write_checkpoint(folder, tensors, config, shards)
    return made


def as_asked(recipe: Recipe, format: str) -> Recipe:
    """The recipe for `format`, its schemes as near to those drawn as that format has them."""
    if format in ("compressed-tensors", "qtquant"):
        return replace(recipe, format=format)
    rules = [Rule(r.pattern, r.scheme if r.scheme == "keep" else suited(r.scheme, format)) for r in recipe.rules]
    return replace(recipe, format=format, default=suited(recipe.default, format), rules=tuple(rules))


def finished(plan: Plan, output: Path, **options: Any) -> RunReport:
    work = run(plan, RunOptions(str(output), **options))
    try:
        while True:
            next(work)
    except StopIteration as end:
        report: RunReport = end.value
        return report


@pytest.mark.parametrize("format", sorted(registry()))
def test_every_file_has_the_bytes_that_were_planned(format: str, checkpoints: dict[Any, Path], tmp_path: Path) -> None:
    examples = 100 if format in ("compressed-tensors", "qtquant") else 30

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(recipe=recipes | layouts if format == "gguf" else recipes, source=sources)
    def holds(recipe: Recipe, source: tuple[Any, ...]) -> None:
        # A GGUF file takes a whole model with its vocabulary.
        checkpoint = open_checkpoint("sample" if format == "gguf" else checkpoints[source])
        try:
            plan = make_plan(checkpoint, as_asked(recipe, format), device="cpu")
        except PlanError:
            assume(False)  # a recipe that is refused writes nothing
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        report = finished(plan, out, verify="none", threads=1)
        sizes = {path.name: path.stat().st_size for path in out.iterdir() if path.name != "qtquant.json"}
        said = {file.name: file.nbytes for file in plan.files}
        said |= {name: len(text.encode()) for name, text in plan.texts.items()} | dict(plan.copied)
        assert sizes == said
        assert sum(sizes.values()) == plan.disk_bytes == report.disk_bytes
        assert plan.disk_bytes - plan.copied_bytes == plan.output_bytes == report.output_bytes

    holds()


@pytest.fixture(scope="module")
def middling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 57 MB, its largest tensor several chunks long."""
    random = torch.Generator().manual_seed(0)
    tensors = llama_tensors(1)
    tensors["model.layers.0.mlp.down_proj.weight"] = torch.randn((4096, 4096), generator=random).bfloat16()
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.randn((4096, 2048), generator=random).bfloat16()
    tensors["model.embed_tokens.weight"] = torch.randn((2048, 2048), generator=random).bfloat16()
    return write_checkpoint(tmp_path_factory.mktemp("middling"), tensors)


@pytest.mark.parametrize(
    "words",
    [
        ("--bits", "4", "--group-size", "32"),
        ("--bits", "3", "--group-size", "16", "--asymmetric", "--method", "mse"),
        ("--bits", "8", "--strategy", "channel", "--activations", "int8", "--verify", "quick"),
        ("--bits", "8", "--strategy", "tensor", "--format", "qtquant", "--verify", "none"),
        ("--bits", "4", "--group-size", "64", "--max-memory", "200MB"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_process_peaks_at_no_more_than_was_predicted_and_at_little_less(
    words: tuple[str, ...], middling: Path, tmp_path: Path
) -> None:
    def process(*command: str) -> dict[str, Any]:
        begun = [sys.executable, "-m", "qtquant_app", *command, *words, "--device", "cpu", "--json"]
        done = subprocess.run(begun, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    for output in ("cold", "warm"):  # the first process may have kernels to compile
        report = process("quantize", str(middling), "-o", str(tmp_path / output))
        measured = report["peak_ram_bytes"]
        assert measured <= report["predicted"]["peak_ram_bytes"] <= ALLOWANCE * measured


def test_what_a_run_takes_does_not_decide_its_bytes(checkpoints: dict[Any, Path]) -> None:
    checkpoint = open_checkpoint(checkpoints[torch.bfloat16, 1, 2, False])
    plans = [make_plan(checkpoint, Recipe(Scheme(group_size=32)), device="cpu", verify=v) for v in ("full", "none")]
    assert plans[0].digest == plans[1].digest
    assert plans[0].peak_ram_bytes >= plans[1].peak_ram_bytes


def test_a_probe_times_the_plan_and_leaves_nothing_behind(checkpoints: dict[Any, Path], tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints[torch.float32, 2, 2, True])
    recipe = Recipe(Scheme(group_size=32), (Rule("*.q_proj", Scheme(bits=8, strategy="tensor", group_size=None)),))
    plan = make_plan(checkpoint, recipe, device="cpu")
    work = timed(checkpoint, plan, tmp_path / "not" / "yet" / "there")
    try:
        while True:
            next(work)
    except StopIteration as end:
        better = end.value
    assert replace(better, seconds_estimate=plan.seconds_estimate) == plan
    assert 0 < better.seconds_estimate < 60
    assert not list(tmp_path.iterdir())


def test_a_probe_that_is_stopped_leaves_nothing_behind(checkpoints: dict[Any, Path], tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoints[torch.bfloat16, 1, 2, False])
    work = timed(checkpoint, make_plan(checkpoint, Recipe(Scheme(group_size=32)), device="cpu"), tmp_path / "out")
    for _ in range(3):
        next(work)
    assert list(tmp_path.iterdir())
    work.close()
    assert not list(tmp_path.iterdir())
