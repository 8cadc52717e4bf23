"""Previews: the numbers of a run, without the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View, Window
from qtquant_app.engine.look import look
from qtquant_app.engine.preview import preview
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import plan_for, quantize, result

LAYER = "model.layers.0.mlp.down_proj.weight"
SCHEMES = [
    Scheme(bits=3, group_size=32, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(bits=4, strategy="tensor", group_size=None),
    Scheme(bits=2, group_size=64, method="mse"),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)
@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
def test_a_preview_and_a_run_agree_to_the_last_digit(tmp_path: Path, scheme: Scheme, format: str) -> None:
    source = small_llama(tmp_path / "m")
    if format == "qtquant" and scheme.bits == 3:
        with pytest.raises(PlanError):
            plan_for(source, scheme, format)
        return
    shown = result(preview(open_checkpoint(source), LAYER, scheme, format=format, device="cpu"))
    written = next(t for t in quantize(source, tmp_path / "out", scheme, format).tensors if t.name == LAYER)
    assert shown.errors == written.errors and shown.bytes == written.bytes


def test_the_pictures_add_up_to_the_numbers(tmp_path: Path) -> None:
    shown = result(preview(open_checkpoint(small_llama(tmp_path / "m")), LAYER, SCHEMES[0], device="cpu"))
    assert (
        shown.picture.extreme.shape == (64, 128) and shown.picture.columns_per_cell == shown.picture.rows_per_cell == 1
    )
    assert shown.picture.extreme.max() == np.float32(shown.errors.max_error)
    assert shown.histogram_counts.sum() == shown.errors.weights == 64 * 128
    assert shown.channel_relative_error.shape == (64,) and shown.group_relative_error.shape == (4,)
    assert shown.channel_square_error.sum() == pytest.approx(shown.errors.square_error, rel=1e-12)
    assert shown.column_square_error.sum() == pytest.approx(shown.errors.square_error, rel=1e-9)
    assert shown.error_histogram.sum() == shown.errors.weights
    worst = shown.worst_groups[0]
    assert worst.end - worst.first == 32 and worst.square_error == max(hot.square_error for hot in shown.worst_groups)
    part = np.square(shown.picture.extreme[worst.row, worst.first : worst.end], dtype=np.float64)
    assert worst.square_error == pytest.approx(part.sum(), rel=1e-9)
    assert len(shown.levels) == 8 and (np.diff(shown.levels) > 0).all()
    assert shown.histogram_edges[0] == shown.weight_range[0] and shown.histogram_edges[-1] == shown.weight_range[1]


def test_a_layer_that_is_not_there_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    with pytest.raises(UsageError, match="no layer 'nothing'"):
        result(preview(checkpoint, "nothing", SCHEMES[0]))
    with pytest.raises(UsageError, match=r"has no slice \[0\]: it has no slices"):
        result(preview(checkpoint, f"{LAYER}[0]", SCHEMES[0]))
    with pytest.raises(PlanError, match="cannot be shown: it has no weights"):
        result(preview(saved(tmp_path / "e", {"a.weight": torch.zeros(0, 4)}), "a.weight", SCHEMES[0]))


def test_a_tensor_that_a_run_keeps_is_shown_all_the_same(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    norm = result(preview(checkpoint, "model.norm", Scheme(group_size=16), device="cpu"))
    assert norm.carried and norm.shape == (1, 64) and norm.picture.extreme.shape == (1, 64)
    embedding = result(preview(checkpoint, "model.embed_tokens", Scheme(group_size=16), device="cpu"))
    assert embedding.carried and embedding.errors.weights == checkpoint.by_name["model.embed_tokens.weight"].parameters
    assert not result(preview(checkpoint, LAYER, Scheme(), device="cpu")).carried


def test_every_dtype_and_rank_has_a_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(8, 32)
    tensors = {
        "conv.weight": torch.randn(6, 4, 2, 2),
        "scalar": torch.tensor(3.0),
        "int.weight": torch.randint(-128, 127, (8, 32), dtype=torch.int8),
        "wide.weight": matrix.double(),
        "eight.weight": matrix.to(torch.float8_e4m3fn),
        "count": torch.arange(12),
    }
    checkpoint = saved(tmp_path, tensors)
    for name, tensor in tensors.items():
        shown = result(
            preview(checkpoint, name, Scheme(strategy="channel", group_size=None), view=View.WEIGHT, device="cpu")
        )
        rows = tensor.shape[0] if tensor.dim() > 1 else 1
        assert shown.shape == (rows, tensor.numel() // rows) and shown.carried == (name != "none")
        assert np.array_equal(shown.picture.extreme.reshape(-1), tensor.float().reshape(-1).numpy())


def test_a_stack_of_experts_is_shown_one_by_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stack = torch.randn(3, 16, 32)
    checkpoint = saved(tmp_path, {"model.layers.0.mlp.experts.down_proj": stack})
    for index in range(3):
        shown = result(
            preview(
                checkpoint, f"model.layers.0.mlp.experts.down_proj[{index}]", Scheme(group_size=16), view=View.WEIGHT
            )
        )
        assert shown.layer.endswith(f"[{index}]") and np.array_equal(shown.picture.extreme, stack[index].numpy())
    with pytest.raises(UsageError, match=r"has no slice \[3\]: it has 3 slices"):
        result(preview(checkpoint, "model.layers.0.mlp.experts.down_proj[3]", Scheme(group_size=16)))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)
def test_what_is_known_of_the_weights_changes_nothing(tmp_path: Path, scheme: Scheme) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    known = result(preview(checkpoint, LAYER, Scheme(), device="cpu"))
    again = result(preview(checkpoint, LAYER, scheme, device="cpu", known=known))
    fresh = result(preview(checkpoint, LAYER, scheme, device="cpu"))
    assert again.errors == fresh.errors and again.weight_range == fresh.weight_range
    assert np.array_equal(again.histogram_counts, fresh.histogram_counts) and np.array_equal(again.levels, fresh.levels)


def test_a_sample_looks_at_some_rows_and_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = saved(tmp_path, {"model.layers.0.mlp.up_proj.weight": torch.randn(4000, 1024).bfloat16()})
    layer, scheme = "model.layers.0.mlp.up_proj.weight", Scheme()
    exact = result(preview(checkpoint, layer, scheme, device="cpu"))
    shown = result(preview(checkpoint, layer, scheme, device="cpu", sample=True, known=exact))
    assert exact.sampled == 0 and 500 < shown.sampled <= 1024 and shown.errors.weights == shown.sampled * 1024
    assert shown.errors.sqnr_db == pytest.approx(exact.errors.sqnr_db, abs=0.05)
    assert len(shown.channel_relative_error) == 4000 and shown.bytes == exact.bytes
    step = shown.picture.rows_per_cell
    assert shown.picture.extreme.shape == (-(-4000 // step), 1024)
    looked_at = step // 2
    assert (
        shown.channel_square_error[0] == exact.channel_square_error[looked_at] == shown.channel_square_error[step - 1]
    )


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)
@pytest.mark.parametrize("view", list(View))
def test_a_window_shows_what_the_whole_picture_shows(tmp_path: Path, scheme: Scheme, view: View) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    known = result(preview(checkpoint, LAYER, scheme, device="cpu", view=view))
    part = result(look(checkpoint, LAYER, scheme, Window(view, 10, 50, 33, 100), known))
    assert np.array_equal(part.extreme, known.picture.extreme[10:50, 33:100])
    assert np.array_equal(part.mean, known.picture.mean[10:50, 33:100])
    assert part.rows.tolist() == list(range(10, 50)) and part.columns.tolist() == list(range(33, 100))
    coarse = result(look(checkpoint, LAYER, scheme, Window(view, 0, 64, 0, 128, 8, 4), known))
    assert coarse.extreme.shape == coarse.mean.shape == (8, 4) and coarse.columns_per_cell == 32
    assert np.abs(coarse.extreme).max() == np.abs(known.picture.extreme).max()
    np.testing.assert_allclose(coarse.mean.mean(), known.picture.extreme.mean(dtype=np.float64), rtol=1e-5, atol=1e-9)


def test_sorted_rows_and_columns_come_worst_first(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    known = result(preview(checkpoint, LAYER, SCHEMES[0], device="cpu"))
    window = Window(View.ABSOLUTE, 0, 20, 5, 60, sort_rows=True, sort_columns=True)
    part = result(look(checkpoint, LAYER, SCHEMES[0], window, known))
    assert (np.diff(known.channel_square_error[part.rows]) <= 0).all()
    assert known.channel_square_error[part.rows[0]] == known.channel_square_error.max()
    assert (np.diff(known.column_square_error[part.columns]) <= 0).all()
    assert np.array_equal(part.extreme, known.picture.extreme[np.ix_(part.rows, part.columns)])


def test_an_outlier_among_millions_shows_in_every_view_and_comes_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = (torch.randn(2048, 3000) * 0.02).bfloat16()
    weight[1234, 2345] = 1e4
    checkpoint = saved(tmp_path, {"model.layers.0.mlp.up_proj.weight": weight})
    for scheme in (
        Scheme(group_size=120),
        Scheme(bits=8, strategy="channel", group_size=None),
        Scheme(group_size=40, symmetric=False),
    ):
        for view in View:
            shown = result(preview(checkpoint, "model.layers.0.mlp.up_proj", scheme, view=view, device="cpu"))
            cell = 1234 // shown.picture.rows_per_cell, 2345 // shown.picture.columns_per_cell
            if view not in (View.RELATIVE, View.SATURATION, View.ZERO):
                # where the error is rounded away at the outlier itself, the rest of its group still stands out
                row = np.abs(shown.picture.extreme[cell[0]])
                assert row.max() == np.abs(shown.picture.extreme).max(), (scheme.label, view)
            hot = shown.worst_groups[0]
            assert hot.row == 1234 and hot.first <= 2345 < hot.end
            assert int(np.argmax(shown.channel_square_error)) == 1234


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Checkpoint:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    return open_checkpoint(folder)
