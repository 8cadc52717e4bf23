"""Sources and tensors that turn out bad on the way: the run names them, keeps its journal, and touches nothing else."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from qtquant_app.core.errors import QtQuantError, SourceError, UsageError, WriteError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, TensorDone, Warned
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import NonFinitePolicy, Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import commit, cost, filesystem
from qtquant_app.engine.finite import check_finite
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from qtquant_app.quant.chunk import as_float32, repaired
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import finish, plan_for, result, weight_bytes

BAD = "model.layers.1.mlp.gate_proj.weight"
FILE = "model-00003-of-00003.safetensors"
SCHEMES = [
    Scheme(bits=4, group_size=32, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(bits=5, strategy="tensor", group_size=None),
]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "CHUNK_BYTES", 1024)
    monkeypatch.setattr(commit, "SECONDS_BETWEEN_COMMITS", 0.0)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below `folder`, with its hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def started(events: Generator[Event, None, Any], tensors: int) -> None:
    """Drives a run until so many tensors are done."""
    while tensors:
        tensors -= isinstance(next(events), TensorDone)


def journalled(partial: Path) -> None:
    """Returns when the journal knows of a tensor: another thread writes it."""
    until = monotonic() + 20
    while b'"kind": "tensor"' not in (partial / "journal.jsonl").read_bytes():
        assert monotonic() < until
        sleep(0.01)


def failed(events: Generator[Event, None, Any], kind: type[QtQuantError]) -> QtQuantError:
    with pytest.raises(kind) as caught:
        finish(events)
    return caught.value


def resumed(plan: Plan, out: Path, whole: Path) -> None:
    """Goes on with the run in `out`, some of which is done, to the bytes of `whole`."""
    assert (out.with_name(out.name + ".partial") / "journal.jsonl").is_file() and not out.exists()
    seen, _ = finish(run(plan, RunOptions(str(out), resume=True)))
    assert [event.resumed_tensors > 0 for event in seen if isinstance(event, RunStarted)] == [True]
    assert weight_bytes(out) == weight_bytes(whole)


def test_sectors_that_cannot_be_read_are_named_by_tensor_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = small_llama(tmp_path / "model", shards=3)
    plan, whole = plan_for(source), tmp_path / "whole"
    result(run(plan, RunOptions(str(whole))))
    place = open_checkpoint(source).by_name[BAD]
    real = filesystem.read_into

    def unreadable(stream: Any, offset: int, view: memoryview) -> int:
        if str(stream.name).endswith(f"model/{place.file}") and offset <= place.offset + 5000 < offset + len(view):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(stream, offset, view)

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "read_into", unreadable)
        error = failed(run(plan, RunOptions(str(tmp_path / "out"))), SourceError)
    assert BAD in error.message and place.file in error.message and "Input/output error" in error.message
    resumed(plan, tmp_path / "out", whole)


@pytest.mark.parametrize("how", ["shrinks", "vanishes"])
def test_a_source_that_goes_away_on_the_way_ends_the_run_and_not_the_process(tmp_path: Path, how: str) -> None:
    source = small_llama(tmp_path / "model", shards=3)
    plan, whole = plan_for(source), tmp_path / "whole"
    result(run(plan, RunOptions(str(whole))))
    last = source / FILE
    data, times = last.read_bytes(), last.stat()
    events = run(plan, RunOptions(str(tmp_path / "out"), threads=1))
    started(events, 2)
    if how == "shrinks":
        os.truncate(last, len(data) // 2)  # a mapped file would end the process here, with SIGBUS
    else:
        last.unlink()
    error = failed(events, SourceError)
    assert FILE in error.message and error.code == "read"
    last.write_bytes(data)
    os.utime(last, ns=(times.st_atime_ns, times.st_mtime_ns))
    resumed(plan, tmp_path / "out", whole)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOENT, errno.EROFS, errno.ENODEV])
def test_a_target_that_is_unplugged_can_be_gone_on_with_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    source = small_llama(tmp_path / "model", shards=3)
    plan, whole = plan_for(source), tmp_path / "whole"
    result(run(plan, RunOptions(str(whole))))
    events = run(plan, RunOptions(str(tmp_path / "out"), threads=1))
    started(events, 3)
    journalled(tmp_path / "out.partial")

    def gone(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        for call in ("write_at", "write", "fsync"):
            patched.setattr(filesystem, call, gone)
        error = failed(events, WriteError)
    assert "out.partial" in error.message and "--resume" in error.hint and os.strerror(code) in error.message
    resumed(plan, tmp_path / "out", whole)


@pytest.mark.parametrize(
    "error", [ValueError("bad\nshape"), MemoryError(), ZeroDivisionError()], ids=lambda e: type(e).__name__
)
def test_a_crash_in_a_worker_names_the_tensor_and_touches_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    source = small_llama(tmp_path / "model", shards=3)
    (tmp_path / "beside.txt").write_text("mine")
    (tmp_path / "out.partial.old").mkdir()
    (tmp_path / "out.partial.old" / "keep").write_text("mine too")
    plan, whole = plan_for(source), tmp_path / "whole"
    result(run(plan, RunOptions(str(whole))))
    before, real, calls = snapshot(tmp_path), CpuBackend.quantize, [0]

    def crashing(self: CpuBackend, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 30:
            raise error
        return real(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(CpuBackend, "quantize", crashing)
        found = failed(run(plan, RunOptions(str(tmp_path / "out"), threads=1)), QtQuantError)
    assert "model.layers." in found.message and "\n" not in found.message and found.__cause__ is error
    assert found.code == ("memory" if isinstance(error, MemoryError) else "internal")
    after = snapshot(tmp_path)
    assert {name: sha for name, sha in after.items() if not name.startswith("out.partial/")} == before
    resumed(plan, tmp_path / "out", whole)


def bad_llama(folder: Path) -> Path:
    """A checkpoint with three weights that are not finite in one tensor, and one in a tensor that is kept anyway."""
    tensors = llama_tensors()
    tensors[BAD][7, 3] = torch.nan
    tensors[BAD][90, 60] = torch.inf
    tensors[BAD][127, 0] = -torch.inf
    tensors["lm_head.weight"][0, 0] = torch.nan
    return write_checkpoint(folder, tensors, shards=3)


def planned(source: Path, policy: NonFinitePolicy, scheme: Scheme | None = None) -> Plan:
    checkpoint = open_checkpoint(source)
    recipe = Recipe(scheme or Scheme(group_size=32), nonfinite=policy)
    found = result(check_finite(checkpoint, recipe, cache=False)) if policy == "keep" else None
    return make_plan(checkpoint, recipe, device="cpu", non_finite=found)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label)
def test_what_is_not_finite_ends_the_run_unless_asked_otherwise(tmp_path: Path, scheme: Scheme) -> None:
    plan = planned(bad_llama(tmp_path / "model"), "refuse", scheme)
    error = failed(run(plan, RunOptions(str(tmp_path / "out"))), SourceError)
    assert error.message == f"{BAD} holds nan at row 7, column 3"
    assert "--on-nonfinite keep" in error.hint and "--on-nonfinite repair" in error.hint


def test_a_tensor_that_is_not_finite_is_kept_as_it_is_where_asked(tmp_path: Path) -> None:
    source = bad_llama(tmp_path / "model")
    plan = planned(source, "keep")
    assert {t.name: t.reason for t in plan.tensors if "not finite" in t.reason} == {BAD: "kept: 3 weights not finite"}
    report = result(run(plan, RunOptions(str(tmp_path / "out"))))
    assert report.verified and report.output_bytes == plan.output_bytes
    written = {k: v for p in (tmp_path / "out").glob("*.safetensors") for k, v in load_file(p).items()}
    assert written[BAD].view(torch.int16).equal(llama_bad()[BAD].view(torch.int16))
    record = json.loads((tmp_path / "out/qtquant.json").read_bytes())
    assert record["recipe"]["nonfinite"] == "keep"
    assert result(verify(tmp_path / "out", source)).ok


def llama_bad() -> dict[str, torch.Tensor]:
    tensors = llama_tensors()
    tensors[BAD][7, 3], tensors[BAD][90, 60], tensors[BAD][127, 0] = torch.nan, torch.inf, -torch.inf
    return tensors


def test_keeping_without_having_looked_is_said(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(bad_llama(tmp_path / "model"))
    plan = make_plan(checkpoint, Recipe(Scheme(group_size=32), nonfinite="keep"), device="cpu")
    assert "not-looked-at" in {warning.code for warning in plan.warnings}


def test_a_second_look_reads_nothing(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(bad_llama(tmp_path / "model"))
    for file in checkpoint.weight_files:
        os.utime(checkpoint.root / file, (1, 1))  # long settled
    recipe, cache = Recipe(Scheme(group_size=32), nonfinite="keep"), tmp_path / "scans.sqlite3"
    first, found = finish(check_finite(checkpoint, recipe, cache=cache))
    again, same = finish(check_finite(checkpoint, recipe, cache=cache))
    assert found == same == {BAD: 3}
    assert any(isinstance(event, ChunkDone) for event in first)
    assert not any(isinstance(event, ChunkDone) for event in again)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label)
def test_a_repair_is_counted_said_verified_and_the_same_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: Scheme
) -> None:
    source = bad_llama(tmp_path / "model")
    plan = planned(source, "repair", scheme)
    seen, report = finish(run(plan, RunOptions(str(tmp_path / "out"))))
    assert report.verified and report.repaired == {BAD: 3} == report.to_json()["repaired"]
    assert any(isinstance(e, Warned) and e.code == "repaired" and e.text.startswith(f"{BAD}: 3 weights") for e in seen)
    record = json.loads((tmp_path / "out/qtquant.json").read_bytes())
    assert [t["sums"]["repaired"] for t in record["tensors"] if t["name"] == BAD] == [3]
    assert result(verify(tmp_path / "out", source)).ok
    tensors = llama_bad()
    row = tensors[BAD][90]
    tensors[BAD][7, 3], tensors[BAD][90, 60] = 0, row[row.isfinite()].max()
    tensors[BAD][127, 0] = tensors[BAD][127][1:].min()
    mended = write_checkpoint(tmp_path / "mended", tensors, shards=3)
    monkeypatch.setattr(cost, "CHUNK_BYTES", 1 << 20)
    result(run(plan_for(mended, scheme), RunOptions(str(tmp_path / "other"))))
    for file in (tmp_path / "out").glob("*.safetensors"):
        if file.name != FILE.replace("3-of", "1-of"):  # the head, kept as it is, holds a NaN
            assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes()


def test_a_repair_that_is_resumed_still_knows_its_count(tmp_path: Path) -> None:
    plan = planned(bad_llama(tmp_path / "model"), "repair")
    result(run(plan, RunOptions(str(tmp_path / "whole"))))
    events = run(plan, RunOptions(str(tmp_path / "out"), threads=1))
    started(events, len(plan.quantized) - 1)
    events.close()
    report = result(run(plan, RunOptions(str(tmp_path / "out"), resume=True)))
    assert report.repaired == {BAD: 3} and weight_bytes(tmp_path / "out") == weight_bytes(tmp_path / "whole")


@given(st.lists(st.floats(width=16) | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1, max_size=9))
def test_a_repaired_row_is_finite_and_otherwise_as_it_was(values: list[float]) -> None:
    raw = np.array([values, values], np.float16)
    found, count = repaired(raw, "F16")
    finite = np.isfinite(raw)
    assert count == np.count_nonzero(~finite) and np.isfinite(found).all()
    assert np.array_equal(found[finite].view(np.uint16), raw[finite].view(np.uint16))
    assert not found[np.isnan(raw)].any()
    least = raw[0][finite[0]].min(initial=np.float16(np.inf)) if finite[0].any() else 0
    assert (as_float32(found, "F16")[raw == -np.inf] == least).all()


def test_the_policy_belongs_to_the_recipe(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "model")
    refuse, repair = planned(source, "refuse"), planned(source, "repair")
    assert "nonfinite" not in refuse.recipe.to_json()
    for plan in (refuse, repair):
        assert Recipe.from_json(json.loads(plan.recipe.dumps())) == plan.recipe
    with pytest.raises(UsageError, match="nonfinite must be one of refuse, keep, repair"):
        Recipe.from_json({"nonfinite": "ignore"})
    assert replace(refuse.recipe, nonfinite="repair") == repair.recipe


@pytest.mark.parametrize(
    ("dtype", "largest"), [(torch.float32, 3.4e38), (torch.bfloat16, 3.38e38), (torch.float16, 65472.0)]
)
def test_weights_that_would_come_back_as_infinity_are_refused_by_name(
    tmp_path: Path, dtype: torch.dtype, largest: float
) -> None:
    weight = torch.ones(32, 64)
    weight[20] = 1e-3
    weight[20, 5] = -largest  # the lowest code of a symmetric scheme stands for 8 / 7.5 of it
    source = write_checkpoint(tmp_path / "m", {"a.q_proj.weight": weight.to(dtype)}, {"model_type": "unknown"})
    error = failed(run(plan_for(source), RunOptions(str(tmp_path / "out"))), SourceError)
    assert error.code == "restored-overflow"
    assert error.message.startswith("a.q_proj.weight has weights in row 20 that would come back as infinity")
    fine = plan_for(source, Scheme(group_size=32, symmetric=False))
    assert result(run(fine, RunOptions(str(tmp_path / "fine")))).verified
