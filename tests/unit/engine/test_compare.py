"""Comparisons: the numbers of previews and runs, added up."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from qtquant_app.cli.main import main
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, SourceError, UsageError
from qtquant_app.core.events import ChunkDone, RunStarted
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View, Window
from qtquant_app.engine.compare import CURVE, Comparison, compare, layers_like
from qtquant_app.engine.look import look
from qtquant_app.engine.pair import pair
from qtquant_app.engine.preview import preview
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import finish, quantize, result

LAYER = "model.layers.0.mlp.down_proj.weight"
OTHER = "model.layers.1.self_attn.k_proj.weight"
W4, W3, W8 = Scheme(group_size=32), Scheme(bits=3, group_size=64, symmetric=False), Scheme(bits=8, group_size=64)
MSE = Scheme(bits=2, group_size=32, method="mse")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "m")


@pytest.fixture
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(folder)


def compared(checkpoint: Checkpoint, layers: tuple[str, ...], *schemes: Scheme, format: str = "") -> Comparison:
    return result(compare(checkpoint, layers, schemes, format=format, device="cpu"))


@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
def test_each_row_is_what_its_preview_says(checkpoint: Checkpoint, format: str) -> None:
    found = compared(checkpoint, (LAYER,), W4, W3, MSE, format=format)
    assert [row.scheme for row in found.rows] == [W4, W3, MSE] and found.layers == (LAYER,)
    for row in found.rows:
        shown = result(preview(checkpoint, LAYER, row.scheme, format=format, device="cpu"))
        assert (row.errors, row.bytes, row.bits_per_weight) == (shown.errors, shown.bytes, shown.bits_per_weight)
        assert np.array_equal(row.error_histogram, shown.error_histogram)
        assert row.error_histogram.sum() == row.errors.weights
        assert np.array_equal(row.channels, np.sort(shown.channel_relative_error)[::-1])


def test_many_tensors_add_up_to_what_a_run_writes(checkpoint: Checkpoint, folder: Path, tmp_path: Path) -> None:
    layers = layers_like(checkpoint, ["*.layers.*"])
    found = compared(checkpoint, layers, W4, W8)
    for row in found.rows:
        written = {t.name: t for t in quantize(folder, tmp_path / row.scheme.label, row.scheme).tensors}
        ours = {t.name: t for t in row.tensors}
        assert ours == {name: written[name] for name in layers} and len(layers) == 14
        assert row.errors == ErrorSums.added(written[name].errors for name in layers)
        assert row.bytes == sum(written[name].bytes for name in layers)
        assert row.channels.shape == (CURVE,) and (np.diff(row.channels) <= 0).all()


def test_a_scheme_named_twice_is_one_row_and_tensors_are_taken_once(checkpoint: Checkpoint) -> None:
    found = compared(checkpoint, ("model.layers.0.mlp.down_proj", LAYER), W4, W3, W4)
    assert [row.scheme for row in found.rows] == [W4, W3] and found.layers == (LAYER,)


def test_globs_name_what_can_be_quantized_and_names_name_anything(checkpoint: Checkpoint) -> None:
    assert layers_like(checkpoint, ["*.k_proj"])[-1] == OTHER
    assert layers_like(checkpoint, ["re:.*0.mlp", "model.norm"])[-1] == "model.norm.weight"
    assert "model.embed_tokens.weight" not in layers_like(checkpoint, ["*"])
    with pytest.raises(UsageError, match="no layer"):
        layers_like(checkpoint, ["*.nothing"])
    with pytest.raises(UsageError, match="nothing to compare"):
        compared(checkpoint, (LAYER,))


def test_a_tensor_that_cannot_be_measured_is_left_out_and_named(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors[OTHER][3, 4] = torch.nan
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "nan", tensors))
    found = compared(checkpoint, (LAYER, OTHER), W4, W3)
    assert found.layers == (LAYER,) and "nan at row 3" in found.skipped[0].text
    assert found.rows[0].errors == compared(checkpoint, (LAYER,), W4).rows[0].errors
    with pytest.raises(SourceError, match="nan at row 3"):
        compared(checkpoint, (OTHER,), W4)


def test_progress_adds_up_and_it_can_be_stopped(checkpoint: Checkpoint) -> None:
    events, _ = finish(compare(checkpoint, (LAYER, OTHER), (W4, W8), device="cpu"))
    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.bytes_total == sum(event.bytes for event in events if isinstance(event, ChunkDone))
    stopped = compare(checkpoint, (LAYER, OTHER), (W4, W8), device="cpu")
    next(stopped)
    next(stopped)
    stopped.close()


def test_a_pair_has_the_pictures_of_both_schemes_cell_for_cell(checkpoint: Checkpoint) -> None:
    found = result(pair(checkpoint, LAYER, (W3, W8), device="cpu"))
    three, eight = (result(preview(checkpoint, LAYER, scheme, device="cpu")) for scheme in (W3, W8))
    assert np.array_equal(found.pictures[0].extreme, three.picture.extreme)
    assert np.array_equal(found.difference, three.picture.extreme - eight.picture.extreme)
    assert found.difference.mean() > 0, "three bits lose more than eight"
    assert found.largest == three.errors.max_error and found.shape == (64, 128)
    back = result(pair(checkpoint, LAYER, (W8, W3), device="cpu"))
    assert np.array_equal(back.difference, -found.difference)


def test_a_window_of_a_pair_needs_no_new_previews(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = result(pair(checkpoint, LAYER, (W3, W8), device="cpu"))
    monkeypatch.setattr("qtquant_app.engine.pair.preview", None)
    window = Window(View.ABSOLUTE, 8, 24, 64, 128, 8, 64)
    part = result(pair(checkpoint, "model.layers.0.mlp.down_proj", (W3, W8), window, known=whole, device="cpu"))
    expected = result(look(checkpoint, LAYER, W8, window, whole.previews[1], device="cpu"))
    assert np.array_equal(part.pictures[1].extreme, expected.extreme) and part.difference.shape == (8, 64)
    assert part.largest == whole.largest, "colours mean the same at every zoom"


def test_the_command_prints_and_saves_the_same_numbers(
    checkpoint: Checkpoint, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(folder), "--layer", "*.down_proj", "--scheme", "W4 g32 sym", "--scheme", "W3 g64 asym"]
    file = tmp_path / "table.csv"
    assert main([*words, "--json", "--csv", str(file)]) == 0
    document = json.loads(capsys.readouterr().out)
    expected = compared(checkpoint, layers_like(checkpoint, ["*.down_proj"]), W4, W3)
    assert document == json.loads(json.dumps(expected.to_json()))
    assert sum(count for _, count in document["schemes"][0]["error_histogram"]) == expected.rows[0].errors.weights
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["tensor"] for row in rows[:3]] == ["(all)", *expected.layers]
    assert float(rows[0]["sqnr_db"]) == expected.rows[0].errors.sqnr_db
    assert main(words) == 0
    assert "W3 g64 asym" in capsys.readouterr().out
    for wrong, says in ((["--scheme", "W9 g32 sym"], "9"), (["--layer", "*.nothing"], "no layer")):
        assert main([*words, *wrong]) == 2
        assert says in capsys.readouterr().err


def test_a_scheme_that_no_format_can_hold_one_tensor_under_is_refused_before_any_work(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.randn(8, 64), "b.weight": torch.randn(8, 100)}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "m", tensors, {}))
    with pytest.raises(PlanError, match=r"b\.weight: group size 64 does not divide its 100 columns"):
        next(compare(checkpoint, ("a.weight", "b.weight"), (W8, W3), device="cpu"))
