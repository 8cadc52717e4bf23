"""Statistics files of llama.cpp: read by GGUF's names and by the checkpoint's own, and refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.importance import read_statistics, with_statistics
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.tools import open_tools
from qtquant_app.engine.verify import result_plan
from qtquant_app.engine.written import restored_weights
from qtquant_app.formats import find
from qtquant_app.formats.gguf.container import build_header
from qtquant_app.formats.gguf.values import Value, ValueType
from qtquant_app.quant.chunk import as_float32
from tests.checkpoints import small_llama
from tests.driving import finish


def statistics_file(path: Path, entries: dict[str, tuple[np.ndarray, float]]) -> Path:
    """A file such as llama-imatrix writes: sums of squares and counts."""
    table, data = [], []
    for name, (sums, count) in entries.items():
        rows = np.atleast_2d(sums).astype("<f4")
        counts = np.full((len(rows), 1), count, "<f4")
        table += [(f"{name}.in_sum2", "F32", rows.shape), (f"{name}.counts", "F32", counts.shape)]
        data += [rows, counts]
    header, described = build_header({"general.type": Value(ValueType.STRING, "imatrix")}, table)
    body = bytearray(header)
    for place, array in zip(described.tensors, data, strict=True):
        body.extend(bytes(place.offset - len(body)) + array.tobytes())
    path.write_bytes(body)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "m")


def test_sums_become_means_under_either_name(model: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(model)
    name = "model.layers.1.self_attn.q_proj.weight"
    width = checkpoint.by_name[name].shape[1]
    sums = np.arange(width) + 1.0
    for stored in ("blk.1.attn_q.weight", name):
        found = read_statistics(statistics_file(tmp_path / "i.gguf", {stored: (sums, 4)}), checkpoint)
        assert list(found.columns) == [name] and len(found.sha256) == 64
        assert np.array_equal(found.columns[name], (sums / 4).astype(np.float32))


def test_a_matrix_that_no_token_came_by_has_no_importance(model: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(model)
    width = checkpoint.by_name["model.layers.0.self_attn.q_proj.weight"].shape[1]
    entries = {"blk.0.attn_q.weight": (np.zeros(width), 0.0), "blk.0.attn_k.weight": (np.ones(width), 2.0)}
    found = read_statistics(statistics_file(tmp_path / "i.gguf", entries), checkpoint)
    assert list(found.columns) == ["model.layers.0.self_attn.k_proj.weight"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"blk.0.attn_q.weight": (np.ones(7), 1.0)}, "has .* columns"),
        ({"blk.0.attn_q.weight": (np.full(64, np.nan), 1.0)}, "no sums of squares"),
        ({"blk.0.attn_q.weight": (-np.ones(64), 1.0)}, "no sums of squares"),
        ({"blk.9.attn_q.weight": (np.ones(64), 1.0)}, "says nothing of the layers"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    model: Path, tmp_path: Path, entries: dict[str, tuple[np.ndarray, float]], said: str
) -> None:
    checkpoint = open_checkpoint(model)
    path = statistics_file(tmp_path / "i.gguf", entries)
    with pytest.raises(SourceError, match=said) as refused:
        read_statistics(path, checkpoint)
    assert str(path) in refused.value.message


def test_a_file_that_is_none_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "i.gguf").write_bytes(b"something else altogether")
    with pytest.raises(SourceError, match="GGUF"):
        read_statistics(tmp_path / "i.gguf", open_checkpoint(model))
    with pytest.raises(SourceError, match="cannot be read"):
        read_statistics(tmp_path / "none.gguf", open_checkpoint(model))


def test_a_run_weighs_as_the_statistics_say_and_refuses_others_afterwards(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    plain = open_checkpoint("sample")
    width = plain.by_name[name].shape[1]
    sums = np.where(np.arange(width) % 8 == 0, 1000.0, 0.1)
    path = statistics_file(tmp_path / "i.gguf", {name: (sums, 1)})
    recipe = Recipe(Scheme.of_layout("Q4_0"), format="gguf")
    errors = {}
    for label, checkpoint in (("plain", plain), ("weighed", with_statistics(plain, path))):
        plan = make_plan(checkpoint, recipe, device="cpu")
        assert Plan.from_json(plan.to_json()) == plan
        _, report = finish(run(plan, RunOptions(str(tmp_path / label))))
        assert report.verified
        assert str(tmp_path) not in (tmp_path / label / "qtquant.json").read_text()
        errors[label] = _column_errors(checkpoint, tmp_path / label, name)
        errors[f"{label} digest"] = plan.digest
    heavy = np.arange(width) % 8 == 0
    assert errors["weighed"][heavy].sum() < 0.7 * errors["plain"][heavy].sum()
    assert errors["weighed"].sum() > errors["plain"].sum()
    assert errors["weighed digest"] != errors["plain digest"]
    statistics_file(path, {name: (sums + 1, 1)})
    with pytest.raises(SourceError, match="has changed since the plan was made"):
        finish(run(plan, RunOptions(str(tmp_path / "later"))))


def _column_errors(checkpoint: Checkpoint, folder: Path, name: str) -> np.ndarray:
    """Sum of squared errors of each input column of `name` in the result at `folder`."""
    plan = result_plan(folder)
    with open_tools(checkpoint, find("gguf"), "cpu") as tools:
        restored = finish(restored_weights(tools, folder, plan))[1][name].numpy()
        tensor = checkpoint.by_name[name]
        source = as_float32(tools.reader.rows(tensor, 0, tensor.shape[0]), tensor.dtype)
        found: np.ndarray = ((source - restored) ** 2).sum(axis=0)
        return found
