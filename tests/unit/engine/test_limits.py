"""A ceiling on main memory is kept to by smaller chunks and fewer threads, and changes nothing else."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import cost, forecast, tensor_work
from qtquant_app.engine.cost import Cut, fitting
from qtquant_app.engine.layout import Decision, lay_out
from qtquant_app.engine.memory import resident_bytes
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.formats import find
from qtquant_app.quant.chunk import RowErrors
from qtquant_app.quant.totals import ErrorTotals, ExactSum
from tests.checkpoints import write_checkpoint
from tests.driving import plan_for, result, weight_bytes

FORMAT = find("compressed-tensors")
SHAPES = {"square": (1 << 15, 1 << 15), "tall": (1 << 22, 256), "wide": (64, 1 << 24)}


def fit(shape: tuple[int, int], ceiling: int | None, scheme: Scheme | None = None, **options: Any) -> Any:
    tensor = TensorInfo("m.weight", "BF16", shape, "f", 0, 2 * shape[0] * shape[1], Kind.LINEAR)
    decisions = [Decision(tensor, scheme or Scheme(group_size=32))]
    return fitting(decisions, lay_out(decisions, FORMAT), FORMAT, "cpu", ceiling, **options)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_ceiling_is_kept_to_by_smaller_chunks_and_then_by_fewer_threads(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "peak_bytes", lambda: 0)
    usual, free = fit(shape, None, threads=16)
    assert usual == cost.usual_cut("cpu", 16)
    before = cost.Cut(17, 1 << 30, 1 << 30)
    for share in (0.9, 0.6, 0.3, 0.2):
        now = resident_bytes()
        ceiling = now + int((free.ram - now) * share)
        try:
            cut, found = fit(shape, ceiling, threads=16)
        except PlanError:
            assert share <= 0.3
            break
        assert found.ram <= ceiling
        assert (-cut.threads, -cut.chunk) >= (-before.threads, -before.chunk)
        before = cut
    assert before.threads < 16 or before.chunk < cost.CHUNK_BYTES


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_ceiling_too_low_is_refused_with_the_least_that_works(shape: tuple[int, int]) -> None:
    with pytest.raises(PlanError, match=r"a ceiling of 1\.00 MB on main memory is too low") as caught:
        fit(shape, 10**6)
    assert caught.value.code == "memory"
    named = re.search(r"--max-memory (\d+)MB", caught.value.hint)
    assert named
    fit(shape, int(named[1]) * 10**6)
    with pytest.raises(PlanError, match="too low"):
        fit(shape, int(named[1]) * 9 * 10**5)


def test_a_plan_under_too_low_a_ceiling_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", {"a.q_proj.weight": torch.randn(64, 64).bfloat16()})
    with pytest.raises(PlanError, match="too low"):
        make_plan(open_checkpoint(source), Recipe(Scheme(group_size=32)), device="cpu", max_memory=10**6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


@given(
    bits=st.integers(2, 8),
    symmetric=st.booleans(),
    strategy=st.sampled_from(("group", "channel", "tensor")),
    format=st.sampled_from(("compressed-tensors", "qtquant")),
    cut=st.builds(Cut, st.integers(1, 3), st.integers(1, 9000), st.integers(1, 9000)),
    held=st.integers(1, 3000),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_bytes_are_the_same_however_the_work_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    bits: int,
    symmetric: bool,
    strategy: Any,
    format: str,
    cut: Cut,
    held: int,
) -> None:
    if format == "qtquant":
        bits = {2: 2, 3: 2, 4: 4, 5: 4}.get(bits, 8)
    folder = tmp_path_factory.mktemp("cut")
    random = torch.Generator().manual_seed(bits)
    tensors = {
        "a.q_proj.weight": torch.randn((203, 48), generator=random).bfloat16(),
        "a.up_proj.weight": torch.randn((7, 480), generator=random).bfloat16(),
        "a.norm.weight": torch.randn(333, generator=random),
    }
    source = write_checkpoint(folder / "m", tensors, {"model_type": "unknown"})
    scheme = Scheme(bits=bits, strategy=strategy, group_size=16 if strategy == "group" else None, symmetric=symmetric)
    plan = plan_for(source, scheme, format)
    result(run(plan, RunOptions(str(folder / "usual"))))
    with monkeypatch.context() as patched:
        patched.setattr(tensor_work, "HELD_BYTES", held)
        patched.setattr(forecast, "fitting", lambda *given, **named: (cut, fitting(*given, **named)[1]))
        result(run(plan, RunOptions(str(folder / "cut"))))
    assert weight_bytes(folder / "cut") == weight_bytes(folder / "usual")


@given(st.lists(st.floats(0, allow_infinity=False) | st.floats(0, 2.0**-1020), max_size=40), st.integers(0, 40))
def test_sums_are_those_that_fsum_gives_in_any_two_parts(values: list[float], at: int) -> None:
    total = ExactSum()
    for part in (values[:at], values[at:]):
        total.add(np.array(part))
    try:
        assert total.total() == math.fsum(values)
    except OverflowError:
        assert total.total() == math.inf


def test_an_infinity_makes_a_sum_infinite() -> None:
    total = ExactSum()
    total.add(np.array([1.0, np.inf]))
    assert total.total() == np.inf


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 1 << 30))
def test_totals_are_the_sums_of_all_rows(cuts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    parts: list[RowErrors] = []
    for rows in cuts:
        values = random.standard_normal((3, rows)) ** 2
        parts.append(RowErrors(values[0], values[1], values[2], random.random(rows).astype(np.float32), rows % 2))
    totals = ErrorTotals(7)
    for part in parts:
        totals.add(part)
    assert totals.sums() == RowErrors.concat(parts).sums(7)


@pytest.mark.parametrize("shape", [(1 << 18, 128), (32, 1 << 20)], ids=["many rows", "long rows"])
def test_a_process_stays_below_its_ceiling(shape: tuple[int, int], tmp_path: Path) -> None:
    weight = (torch.randn(1 << 20) * 0.02).bfloat16().repeat(shape[0] * shape[1] >> 20).reshape(shape)
    source = write_checkpoint(tmp_path / "m", {"model.layers.0.mlp.up_proj.weight": weight})

    def quantized(ceiling: int, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "qtquant_app", "quantize", str(source), "-o", str(tmp_path / f"{ceiling}")]
        more = ["--group-size", "16", "--asymmetric", "--device", "cpu", "--json", "--max-memory", f"{ceiling}MB"]
        return subprocess.run([*command, *more, *words], capture_output=True, text=True)

    refused = quantized(1)
    assert refused.returncode == 2 and "is too low" in refused.stderr
    least = int(re.search(r"--max-memory (\d+)MB", refused.stderr)[1])  # type: ignore[index]
    sha = set()
    for ceiling in (least + 10, least + 400):
        done = quantized(ceiling)
        assert not done.returncode, done.stderr
        report = json.loads(done.stdout)
        assert report["peak_ram_bytes"] <= ceiling * 10**6 and report["max_memory"] == ceiling * 10**6
        sha.add(report["sha256"]["model.safetensors"])
    assert len(sha) == 1
