"""What is looked at is what a run would write: schemes as formats carry them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.matrix import find
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View, Window
from qtquant_app.engine.as_written import as_written
from qtquant_app.engine.compare import compare
from qtquant_app.engine.look import look
from qtquant_app.engine.preview import preview
from qtquant_app.engine.remedies import remedies
from qtquant_app.engine.source import open_checkpoint
from tests.driving import plan_for, quantize, result

MIX = Scheme.of_layout("llama.cpp:Q4_K_M")
LAYER = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def sample() -> Checkpoint:
    return open_checkpoint("sample")


@pytest.mark.parametrize(
    ("format", "scheme"),
    [
        ("gguf", MIX),
        ("gguf", Scheme(4, group_size=32, symmetric=False)),
        ("mlx", Scheme(4, group_size=64, symmetric=False)),
        ("compressed-tensors", Scheme(4, group_size=32)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.label,
)
def test_each_tensor_is_looked_at_under_the_scheme_that_the_plan_gives_it(
    sample: Checkpoint, format: str, scheme: Scheme
) -> None:
    plan = plan_for("sample", scheme, format)
    quantizable = {tensor.name for tensor in sample.quantizable}
    planned = {tensor.name: tensor.scheme for tensor in plan.quantized if tensor.name in quantizable}
    found = {name: as_written(sample, find(sample, name), scheme, format) for name in planned}
    assert found == planned and found


def test_a_preview_shows_the_error_that_the_run_reports(sample: Checkpoint, tmp_path: Path) -> None:
    report = quantize("sample", tmp_path / "out", MIX, "gguf")
    written = next(tensor for tensor in report.tensors if tensor.name == LAYER)
    seen = result(preview(sample, LAYER, MIX, format="gguf"))
    assert (seen.scheme, seen.errors.sqnr_db, seen.bytes) == (written.scheme, written.errors.sqnr_db, written.bytes)
    assert len(seen.levels) == 0


def test_a_closer_look_a_comparison_and_the_remedies_work_under_a_mixture(sample: Checkpoint) -> None:
    seen = result(preview(sample, LAYER, MIX, format="gguf"))
    part = result(look(sample, LAYER, MIX, Window(View.ABSOLUTE, 0, 8, 0, 8, 8, 8), seen))
    assert part.extreme.shape == (8, 8)
    row = result(compare(sample, (LAYER,), (MIX,), format="gguf")).rows[0]
    assert row.scheme == MIX and row.errors.sqnr_db == seen.errors.sqnr_db
    assert result(remedies(sample, LAYER, MIX, None, format="gguf"))[0].scheme == seen.scheme


def test_without_a_format_that_resolves_it_a_mixture_is_what_most_of_its_tensors_get(sample: Checkpoint) -> None:
    assert as_written(sample, find(sample, LAYER), MIX).layout == "Q4_K"
    norm = find(sample, "model.norm.weight")
    assert as_written(sample, norm, MIX, "compressed-tensors").layout == "Q4_K"


@pytest.mark.parametrize("view", [View.SCALE, View.SATURATION, View.ZERO])
def test_views_of_what_block_types_do_not_have_say_why(view: View) -> None:
    assert "scales within scales" in view.why_not(Scheme.of_layout("Q4_K"))
    assert view.why_not(Scheme()) == ""


def test_floats_have_scales_but_no_zero_points() -> None:
    scheme = Scheme(8, "float", "channel", None)
    assert [view for view in View if view.why_not(scheme)] == [View.ZERO]
