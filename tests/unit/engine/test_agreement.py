"""Every verb says the same of a tensor under a scheme, to the last digit, however odd the tensor is."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View, Window
from qtquant_app.engine.compare import compare
from qtquant_app.engine.explain import explain
from qtquant_app.engine.look import look
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.preview import preview
from qtquant_app.engine.quantize import run
from qtquant_app.engine.remedies import remedies
from qtquant_app.engine.source import open_checkpoint
from tests.driving import finish, result
from tests.unit.engine.scans import by_name, scanned

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

WHOLE = Scheme(bits=2, strategy="tensor", group_size=None)
SCHEMES = (
    Scheme(group_size=32),
    Scheme(bits=2, group_size=32, symmetric=False, method="mse"),
    Scheme(bits=8, strategy="channel", group_size=None),
    WHOLE,
    Scheme(bits=4, strategy="tensor", group_size=None, symmetric=False),
)


def changed(value: float, dtype: torch.dtype) -> torch.Tensor:
    found = normal(32, 64)
    found[3, 5] = value
    return found.to(dtype)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * 0.02


ODD = {
    "outlier": changed(1e4, torch.bfloat16),
    "beyond-float32": changed(-3.3e38, torch.float32),
    "largest-half": changed(65504, torch.float16),
    "zero": torch.zeros(32, 64, dtype=torch.bfloat16),
    "constant": torch.full((32, 64), 0.37),
    "subnormal": normal(32, 64) * 1e-38,
    "odd-width": normal(33, 130).half(),
    "one-row": normal(1, 256).bfloat16(),
    "one-column": normal(300, 1).bfloat16(),
    "one-weight": normal(1, 1).half(),
    "wide": normal(32, 64).double(),
    "eight": normal(32, 64).to(torch.float8_e4m3fn),
    "whole-numbers": torch.arange(2048).reshape(32, 64).to(torch.int8),
    "vector": normal(64).bfloat16(),
    "number": torch.tensor(3.0),
    "conv": normal(8, 4, 3),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("odd")
    save_file({f"model.layers.0.mlp.{name}.weight": tensor for name, tensor in ODD.items()}, folder / "m.safetensors")
    return open_checkpoint(folder)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)
@pytest.mark.parametrize("name", ODD)
def test_all_verbs_agree_to_the_last_digit(checkpoint: Checkpoint, name: str, scheme: Scheme) -> None:
    layer = f"model.layers.0.mlp.{name}.weight"
    shown = result(preview(checkpoint, layer, scheme, device="cpu"))
    others: dict[str, Any] = {
        "with what is known": result(preview(checkpoint, layer, scheme, device="cpu", known=shown)),
        "compared": result(compare(checkpoint, [layer], [scheme], device="cpu")).rows[0],
    }
    assert {key: other.errors for key, other in others.items()} == dict.fromkeys(others, shown.errors)
    found = result(remedies(checkpoint, layer, scheme, device="cpu"))
    assert found[0].whole == found[0].errors == shown.errors
    scan = by_name(scanned(checkpoint.path, schemes=(scheme,)))[layer]
    assert [report.errors for report in scan.reports] == [shown.errors] * (not shown.carried)
    rows, columns = shown.shape
    worst = result(explain(checkpoint, layer, scheme, (0, rows), (0, columns), device="cpu"))
    assert abs(worst.error) == shown.errors.max_error
    assert shown.error_histogram.sum() == shown.histogram_counts.sum() == shown.errors.weights
    for view in View:
        whole = Window(view, 0, rows, 0, columns, sort_rows=True)
        assert result(look(checkpoint, layer, scheme, whole, shown)).extreme.shape == shown.shape
    documents = [shown, others["compared"], worst, scan, *found]
    assert json.dumps([document.to_json() for document in documents], allow_nan=False)


@pytest.mark.parametrize("scheme", [SCHEMES[0], WHOLE], ids=lambda s: s.label)
@pytest.mark.parametrize("name", ["outlier", "wide", "eight"])
def test_the_chunks_add_up_to_the_bytes_announced(checkpoint: Checkpoint, name: str, scheme: Scheme) -> None:
    layer = f"model.layers.0.mlp.{name}.weight"
    for work in (
        preview(checkpoint, layer, scheme, device="cpu"),
        compare(checkpoint, [layer], [scheme, Scheme(group_size=8)], device="cpu"),
        explain(checkpoint, layer, scheme, (0, 32), (3, 9), device="cpu"),
    ):
        announced, done = bytes_of(work)
        assert announced == done


def bytes_of(work: Generator[Event, None, Any]) -> tuple[int, int]:
    events, _ = finish(work)
    announced = sum(event.bytes_total for event in events if isinstance(event, RunStarted))
    return announced, sum(event.bytes for event in events if isinstance(event, ChunkDone))


def test_the_search_for_one_scale_can_be_stopped_at_every_chunk(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("qtquant_app.engine.cost.CHUNK_BYTES", 128)  # a row of 32
    layer = "model.layers.0.mlp.outlier.weight"
    assert chunks_of(preview(checkpoint, layer, WHOLE, device="cpu"), layer) == 64
    assert chunks_of(compare(checkpoint, [layer], [WHOLE], device="cpu"), layer) == 64
    assert chunks_of(explain(checkpoint, layer, WHOLE, (0, 1), (0, 1), device="cpu"), layer) == 33
    recipe = Recipe(default=WHOLE, ignore=("*.beyond-float32",), format="compressed-tensors")
    plan = make_plan(checkpoint, recipe, device="cpu")
    written = run(plan, RunOptions(str(tmp_path / "out"), verify="none"))
    assert chunks_of(written, layer) == 64


def chunks_of(work: Generator[Event, None, Any], layer: str) -> int:
    return sum(isinstance(event, ChunkDone) and event.tensor == layer for event in finish(work)[0])


def test_a_cell_of_more_than_a_chunk_is_drawn_from_its_parts(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, scheme = "model.layers.0.mlp.odd-width.weight", Scheme(bits=2, group_size=65)
    known = result(preview(checkpoint, layer, scheme, device="cpu"))
    for view in View:
        window = Window(view, 0, 33, 0, 130, 3, 5, sort_rows=True)
        whole = result(look(checkpoint, layer, scheme, window, known))
        with monkeypatch.context() as patched:
            patched.setattr("qtquant_app.engine.look.CHUNK_BYTES", 4 * 260)
            parts = result(look(checkpoint, layer, scheme, window, known))
        assert parts.extreme.tolist() == whole.extreme.tolist()
        assert parts.mean == pytest.approx(whole.mean, rel=1e-6)


def test_the_levels_are_those_of_a_group_with_the_median_scale(checkpoint: Checkpoint) -> None:
    layer, scheme = "model.layers.0.mlp.odd-width.weight", Scheme(bits=3, group_size=65, symmetric=False)
    shown = result(preview(checkpoint, layer, scheme, device="cpu"))
    scales = [
        result(explain(checkpoint, layer, scheme, (row, row + 1), (at, at + 1), device="cpu")).scale.value
        for row in range(33)
        for at in (0, 65)
    ]
    assert shown.levels[1] - shown.levels[0] == pytest.approx(sorted(scales)[len(scales) // 2], rel=1e-6)
    assert 0 in shown.levels.tolist()
