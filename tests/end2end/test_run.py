"""Whole runs: what is planned is what is written, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import PlanError, QtQuantError, SourceError, VerifyError, WriteError
from qtquant_app.core.events import ChunkDone, RunStarted, ShardWritten, TensorDone, TensorKept, Verified
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import cost, output
from qtquant_app.engine.quantize import run
from qtquant_app.engine.verify import verify
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import finish, plan_for, quantize, result, weight_bytes

SCHEMES = [
    Scheme(bits=4, group_size=32),
    Scheme(bits=3, group_size=64, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None, activations="int8"),
    Scheme(bits=2, group_size=16, method="mse", symmetric=False),
    Scheme(bits=5, strategy="tensor", group_size=None, symmetric=False),
    Scheme(bits=7, strategy="channel", group_size=None),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "model", shards=3)


def _on_disk(folder: Path) -> int:
    names = [p for p in folder.iterdir() if p.suffix == ".safetensors" or p.name.endswith("index.json")]
    return sum(p.stat().st_size for p in [*names, folder / "config.json"])


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)
def test_what_is_planned_is_written_and_verified_against_the_source(
    source: Path, tmp_path: Path, scheme: Scheme
) -> None:
    plan = plan_for(source, scheme)
    events, report = finish(run(plan, RunOptions(str(tmp_path / "out"))))
    assert plan.output_bytes == report.output_bytes == _on_disk(tmp_path / "out")
    assert report.verified and report.coverage.quantized == 14
    assert {e.report.name for e in events if isinstance(e, Verified)} == {t.name for t in report.tensors}
    assert sum(e.bytes for e in events if isinstance(e, ChunkDone)) == events[0].bytes_total  # type: ignore[union-attr]
    checked = result(verify(tmp_path / "out", source))
    assert checked.ok and [t.errors for t in checked.compared] == [t.errors for t in report.tensors]
    assert not (tmp_path / "out.partial").exists()


@given(
    bits=st.integers(2, 8),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    group=st.integers(1, 80),
    symmetric=st.booleans(),
    strategy=st.sampled_from(["group", "channel", "tensor"]),
    format=st.sampled_from(["compressed-tensors", "qtquant"]),
    dtype=st.sampled_from([torch.bfloat16, torch.float16, torch.float32]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_predicted_bytes_are_the_bytes_written_for_any_shape_and_scheme(
    tmp_path_factory: pytest.TempPathFactory,
    bits: int,
    shape: tuple[int, int],
    group: int,
    symmetric: bool,
    strategy: str,
    format: str,
    dtype: torch.dtype,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    tensors = {"a.q_proj.weight": torch.randn(shape).to(dtype), "a.q_proj.bias": torch.randn(shape[0]).to(dtype)}
    write_checkpoint(folder / "m", tensors, {"model_type": "unknown"})
    scheme = Scheme(
        bits=bits,
        group_size=group if strategy == "group" else None,
        symmetric=symmetric,
        strategy=strategy,  # type: ignore[arg-type]
    )
    try:
        plan = plan_for(folder / "m", scheme, format)
    except PlanError as refused:
        assert "a.q_proj.weight" in refused.message
        return
    report = result(run(plan, RunOptions(str(folder / "out"))))
    assert plan.output_bytes == report.output_bytes == _on_disk(folder / "out")
    assert result(verify(folder / "out", folder / "m")).ok


def test_kept_tensors_and_carried_files_are_the_same_to_the_byte(source: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    quantize(source, tmp_path / "out")
    written = {k: v for p in (tmp_path / "out").glob("*.safetensors") for k, v in load_file(p).items()}
    tensors = llama_tensors()
    for name in ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"):
        assert torch.equal(written[name], tensors[name])
    assert (tmp_path / "out/tokenizer_config.json").read_bytes() == (source / "tokenizer_config.json").read_bytes()


def test_the_result_does_not_depend_on_threads_or_chunks(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(source, SCHEMES[1])
    result(run(plan, RunOptions(str(tmp_path / "a"), threads=2)))
    monkeypatch.setattr(cost, "CHUNK_BYTES", 700)
    result(run(plan, RunOptions(str(tmp_path / "b"), threads=1)))
    assert weight_bytes(tmp_path / "a") == weight_bytes(tmp_path / "b")


def test_every_kind_of_progress_is_told(source: Path, tmp_path: Path) -> None:
    events, _ = finish(run(plan_for(source), RunOptions(str(tmp_path / "out"))))
    assert isinstance(events[0], RunStarted)
    assert len([e for e in events if isinstance(e, TensorDone)]) == 14
    assert len([e for e in events if isinstance(e, TensorKept)]) == 7
    assert {e.file for e in events if isinstance(e, ShardWritten)} == {
        f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)
    }


@pytest.mark.parametrize("stop_after", [0, 1, 5, 9, 20, 30, 45, 60])
def test_a_closed_run_leaves_only_the_partial_folder_and_resumes_to_the_same_bytes(
    source: Path, tmp_path: Path, stop_after: int
) -> None:
    plan = plan_for(source, SCHEMES[1])
    result(run(plan, RunOptions(str(tmp_path / "whole"))))
    events = run(plan, RunOptions(str(tmp_path / "out")))
    for _ in range(stop_after + 1):
        next(events)
    events.close()
    assert not (tmp_path / "out").exists() and (tmp_path / "out.partial").exists()
    with pytest.raises(VerifyError):
        result(verify(tmp_path / "out.partial"))
    seen, _ = finish(run(plan, RunOptions(str(tmp_path / "out"), resume=True)))
    if stop_after >= 20:
        assert seen[0].resumed_tensors > 0  # type: ignore[union-attr]
    assert weight_bytes(tmp_path / "out") == weight_bytes(tmp_path / "whole")


@pytest.mark.parametrize("verify_mode", ["full", "none"])
def test_a_crash_between_a_files_size_and_its_header_is_made_good(
    source: Path, tmp_path: Path, verify_mode: Literal["full", "none"]
) -> None:
    plan = plan_for(source, SCHEMES[1])
    result(run(plan, RunOptions(str(tmp_path / "whole"), verify=verify_mode)))
    events = run(plan, RunOptions(str(tmp_path / "out")))
    while not isinstance(next(events), ChunkDone):
        pass
    events.close()
    last = plan.files[-1]
    (tmp_path / "out.partial" / last.name).write_bytes(bytes(last.nbytes))
    result(run(plan, RunOptions(str(tmp_path / "out"), resume=True, verify=verify_mode)))
    assert weight_bytes(tmp_path / "out") == weight_bytes(tmp_path / "whole")


def test_a_folder_beside_the_output_that_is_not_ours_is_never_removed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out.replaced").mkdir()
    (tmp_path / "out.replaced/thesis.txt").write_text("mine")
    quantize(source, tmp_path / "out")
    assert (tmp_path / "out.replaced/thesis.txt").read_text() == "mine"


_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {repo!r})
from qtquant_app.core.plan import RunOptions
from qtquant_app.engine import commit
from qtquant_app.engine.quantize import run
from tests.driving import plan_for
commit.SECONDS_BETWEEN_COMMITS = 0.0
import time
print("ready", flush=True)
for _ in run(plan_for({source!r}), RunOptions({output!r}, resume=True)):
    time.sleep(0.004)
"""


def test_a_killed_run_resumes_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    whole = quantize(source, tmp_path / "whole")
    script = _KILLED.format(repo=str(Path(__file__).parents[2]), source=str(source), output=str(tmp_path / "out"))
    for delay in (0.02, 0.1, 0.15):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "out").exists()
    report = result(run(plan_for(source), RunOptions(str(tmp_path / "out"), resume=True)))
    assert weight_bytes(tmp_path / "out") == weight_bytes(tmp_path / "whole")
    assert report.tensors == whole.tensors


def test_a_resumed_run_of_another_plan_is_refused(source: Path, tmp_path: Path) -> None:
    events = run(plan_for(source), RunOptions(str(tmp_path / "out")))
    for _ in range(10):
        next(events)
    events.close()
    with pytest.raises(PlanError, match="another plan"):
        result(run(plan_for(source, SCHEMES[1]), RunOptions(str(tmp_path / "out"), resume=True)))
    with pytest.raises(PlanError, match="unfinished run"):
        result(run(plan_for(source), RunOptions(str(tmp_path / "out"))))


def test_an_output_that_exists_is_refused_and_only_ours_is_replaced(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out")
    before = weight_bytes(tmp_path / "out")
    with pytest.raises(PlanError, match="exists"):
        quantize(source, tmp_path / "out")
    assert weight_bytes(tmp_path / "out") == before
    result(run(plan_for(source, SCHEMES[1]), RunOptions(str(tmp_path / "out"), overwrite=True)))
    assert weight_bytes(tmp_path / "out") != before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(PlanError, match="not written by QtQuant"):
        result(run(plan_for(source), RunOptions(str(tmp_path / "other"), overwrite=True)))
    assert (tmp_path / "other/thesis.txt").read_text() == "mine"
    assert not (tmp_path / "out.replaced").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("scheme", [SCHEMES[0], SCHEMES[4]], ids=lambda s: s.label)
def test_a_weight_that_is_no_number_is_refused_by_name_and_place(tmp_path: Path, value: float, scheme: Scheme) -> None:
    tensors = llama_tensors()
    tensors["model.layers.1.mlp.up_proj.weight"][77, 13] = value
    source = write_checkpoint(tmp_path / "m", tensors)
    with pytest.raises(SourceError, match=r"model\.layers\.1\.mlp\.up_proj\.weight holds .* at row 77, column 13"):
        quantize(source, tmp_path / "out", scheme)
    assert not (tmp_path / "out").exists()


def test_a_disk_too_small_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 9, 9))  # type: ignore[attr-defined]
    with pytest.raises(PlanError, match="9 free"):
        quantize(source, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_a_source_that_changed_since_the_plan_is_refused(source: Path, tmp_path: Path) -> None:
    plan = plan_for(source)
    write_checkpoint(source, llama_tensors(blocks=1), shards=3)
    with pytest.raises(SourceError, match="changed"):
        result(run(plan, RunOptions(str(tmp_path / "out"))))


def test_a_plan_survives_json(source: Path) -> None:
    plan = plan_for(source, SCHEMES[1])
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan and again.digest == plan.digest


@pytest.mark.parametrize("where", ["codes", "scale", "kept", "header"])
def test_one_changed_byte_is_found_by_verify(source: Path, tmp_path: Path, where: str) -> None:
    plan = plan_for(source)
    result(run(plan, RunOptions(str(tmp_path / "out"))))
    file = plan.files[1]
    place = 20 if where == "header" else next(t.offset for t in file.tensors if t.role == where)
    path = tmp_path / "out" / file.name
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)
    found = result(verify(tmp_path / "out"))
    assert not found.ok and found.mismatches[0].where == file.name


def test_verification_inside_a_run_catches_a_byte_that_went_wrong_on_the_way(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = output.OutputFolder.write

    def broken(self: output.OutputFolder, file: str, offset: int, data: object) -> None:
        real(self, file, offset, data)  # type: ignore[arg-type]
        if file.startswith("model-00002") and offset < 4000:
            real(self, file, offset, b"\x5a")

    monkeypatch.setattr(output.OutputFolder, "write", broken)
    with pytest.raises(VerifyError, match="model"):
        quantize(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_names_the_file_and_can_be_resumed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize(source, tmp_path / "whole")
    calls = {"n": 0}
    real = output.OutputFolder._handle

    def failing(self: output.OutputFolder, file: str) -> object:
        calls["n"] += 1
        if calls["n"] == 20:
            raise OSError(5, os.strerror(5))
        return real(self, file)

    monkeypatch.setattr(output.OutputFolder, "_handle", failing)
    with pytest.raises(WriteError, match="Input/output error"):
        quantize(source, tmp_path / "out")
    report = result(run(plan_for(source), RunOptions(str(tmp_path / "out"), resume=True)))
    assert report.verified and weight_bytes(tmp_path / "out") == weight_bytes(tmp_path / "whole")


def test_a_quick_verification_reads_a_chunk_of_every_tensor_and_claims_no_more(source: Path, tmp_path: Path) -> None:
    events, report = finish(run(plan_for(source), RunOptions(str(tmp_path / "out"), verify="quick")))
    assert not report.verified
    assert len([e for e in events if isinstance(e, Verified)]) == 14
    assert json.loads((tmp_path / "out/qtquant.json").read_text())["verified"] == "quick"


def test_every_error_is_one_of_ours(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(QtQuantError):
        quantize(source, tmp_path / "file" / "out")
