"""Remedies: the numbers of a preview and of a run, for a tensor and for a part of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qtquant_app.cli.main import main
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError, UsageError
from qtquant_app.core.events import ChunkDone, RunStarted
from qtquant_app.core.remedy import Remedy
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.engine import cost
from qtquant_app.engine.preview import preview
from qtquant_app.engine.remedies import remedies
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import finish, quantize, result

LAYER = "model.layers.0.mlp.down_proj.weight"
ROWS, COLUMNS = 64, 128
SCHEMES = [
    Scheme(group_size=64),
    Scheme(bits=3, group_size=32, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(strategy="tensor", group_size=None),
]
by_label = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "m")


@pytest.fixture
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(folder)


def measured(
    checkpoint: Checkpoint, scheme: Scheme, place: Place | None = None, format: str = "", layer: str = LAYER
) -> tuple[Remedy, ...]:
    return result(remedies(checkpoint, layer, scheme, place, format=format, device="cpu"))


@by_label
@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
def test_every_remedy_has_the_numbers_of_its_preview(checkpoint: Checkpoint, scheme: Scheme, format: str) -> None:
    found = measured(checkpoint, scheme, Place((3, 5), (0, COLUMNS)), format)
    assert found[0].scheme == scheme and found[-1].scheme == "keep" and len(found) > 3
    for remedy in found[:-1]:
        assert isinstance(remedy.scheme, Scheme)
        shown = result(preview(checkpoint, LAYER, remedy.scheme, format=format, device="cpu"))
        assert (remedy.whole, remedy.bytes) == (shown.errors, shown.bytes)
        assert remedy.bytes_more == shown.bytes - found[0].bytes
        assert remedy.errors.square_error == pytest.approx(shown.channel_square_error[3:5].sum(), rel=1e-9)
        assert remedy.errors.max_error == shown.channel_max_error[3:5].max()


@by_label
def test_a_remedy_is_what_a_run_then_writes(
    checkpoint: Checkpoint, folder: Path, tmp_path: Path, scheme: Scheme
) -> None:
    chosen = measured(checkpoint, scheme)[1]
    assert isinstance(chosen.scheme, Scheme)
    written = next(t for t in quantize(folder, tmp_path / "out", chosen.scheme).tensors if t.name == LAYER)
    assert (chosen.errors, chosen.whole, chosen.bytes) == (written.errors, written.errors, written.bytes)


def test_keeping_costs_the_bytes_of_the_source_and_loses_nothing(checkpoint: Checkpoint) -> None:
    now, *_, kept = measured(checkpoint, SCHEMES[0])
    assert kept.bytes == 2 * ROWS * COLUMNS and kept.bytes_more == kept.bytes - now.bytes
    assert kept.errors.mse == 0 and kept.errors.cosine == 1 and kept.gain_db == float("inf")


@by_label
def test_parts_add_up_to_the_tensor(checkpoint: Checkpoint, scheme: Scheme) -> None:
    halves = [((0, 40), (0, 96)), ((0, 40), (96, COLUMNS)), ((40, ROWS), (0, COLUMNS))]
    parts = [measured(checkpoint, scheme, Place(*half)) for half in halves]
    for at, remedy in enumerate(measured(checkpoint, scheme)[:2]):
        pieces = [found[at].errors for found in parts]
        assert sum(piece.weights for piece in pieces) == remedy.whole.weights
        for key in ("square_error", "square_weight", "square_dequantized"):
            assert sum(getattr(piece, key) for piece in pieces) == pytest.approx(getattr(remedy.whole, key), rel=1e-12)
        assert max(piece.max_error for piece in pieces) == remedy.whole.max_error


def test_a_part_is_found_in_whatever_chunk_it_lies(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place((29, 37), (32, 64))
    whole = measured(checkpoint, SCHEMES[1], place)
    monkeypatch.setattr(cost, "CHUNK_BYTES", 7 * 2 * COLUMNS)
    assert measured(checkpoint, SCHEMES[1], place) == whole


def test_a_hot_group_gains_most_from_what_helps_it(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors[LAYER][12, 33] = 3.0
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "hot", tensors))
    place = Place((12, 13), (0, COLUMNS))
    gains = {remedy.title: remedy.gain_db for remedy in measured(checkpoint, SCHEMES[2], place)}
    calm = {remedy.title: remedy.gain_db for remedy in measured(checkpoint, SCHEMES[2], Place((13, 14), (0, COLUMNS)))}
    assert gains["groups of 32"] > calm["groups of 32"] + 3


def test_what_the_format_cannot_hold_is_measured_and_says_why_it_cannot_be_applied(tmp_path: Path) -> None:
    tensors = {"a.q_proj.weight": torch.randn(8, 72, generator=torch.Generator().manual_seed(0))}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "odd", tensors, {}))
    found = {r.title: r for r in measured(checkpoint, Scheme(group_size=32), None, layer="a.q_proj")}
    assert "group size 16 does not divide its 72 columns" in found["groups of 16"].reason
    assert found["groups of 16"].errors.sqnr_db > 20 and not found["keep it"].reason


def test_a_tensor_that_a_run_carries_over_has_no_remedy_to_apply(checkpoint: Checkpoint) -> None:
    found = measured(checkpoint, Scheme(group_size=32), layer="model.embed_tokens")
    assert {remedy.reason for remedy in found} == {"a run leaves this tensor as it is"}
    assert len(measured(checkpoint, Scheme(group_size=32), layer="model.norm")) > 3


def test_places_outside_of_the_tensor_and_bad_weights_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for place, says in (
        (Place((64, 65), (0, 1)), "no row 64: it has 64"),
        (Place((0, 1), (120, 130)), "no column 129: it has 128"),
        (Place((-1, 1), (0, 1)), "no row -1"),
    ):
        with pytest.raises(UsageError, match=says):
            measured(checkpoint, Scheme(), place)
    tensors = llama_tensors()
    tensors[LAYER][3, 4] = torch.nan
    with pytest.raises(SourceError, match="nan at row 3, column 4"):
        measured(open_checkpoint(write_checkpoint(tmp_path / "nan", tensors)), Scheme())


def test_progress_adds_up_and_it_can_be_stopped_at_any_chunk(checkpoint: Checkpoint) -> None:
    events, found = finish(remedies(checkpoint, LAYER, SCHEMES[0], device="cpu"))
    started = next(event for event in events if isinstance(event, RunStarted))
    done = sum(event.bytes for event in events if isinstance(event, ChunkDone))
    assert done == (len(found) - 1) * 2 * ROWS * COLUMNS <= started.bytes_total
    stopped = remedies(checkpoint, LAYER, SCHEMES[0], device="cpu")
    next(stopped)
    next(stopped)
    stopped.close()


def test_the_command_prints_the_same_numbers(
    checkpoint: Checkpoint, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["remedies", str(folder), "--layer", "model.layers.0.mlp.down_proj", "--group-size", "32"]
    assert main([*words, "--row", "7", "--column", "40", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["place"] == {"rows": [7, 8], "columns": [32, 64]}
    expected = measured(checkpoint, Scheme(group_size=32), Place((7, 8), (32, 64)))
    assert document["remedies"] == json.loads(json.dumps([remedy.to_json() for remedy in expected]))
    assert main([*words, "--row", "7"]) == 0
    assert "keep it" in capsys.readouterr().out
    for more, says in ((["--column", "3"], "needs a --row"), (["--row", "3", "--column", "500"], "no column 500")):
        assert main([*words, *more]) == 2
        assert says in capsys.readouterr().err


def test_a_part_that_is_a_whole_channel_has_the_kernels_own_sums(checkpoint: Checkpoint) -> None:
    one, other = (measured(checkpoint, SCHEMES[0], Place((5, 6), (0, end)))[0] for end in (COLUMNS, COLUMNS - 1))
    shown = result(preview(checkpoint, LAYER, SCHEMES[0], device="cpu"))
    assert one.errors.square_error == shown.channel_square_error[5]
    assert other.errors.weights == COLUMNS - 1 and np.isfinite(other.errors.sqnr_db)
    assert replace(other.errors, weights=0) != replace(one.errors, weights=0)
