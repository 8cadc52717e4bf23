"""The look at every tensor: its flags, its numbers, its events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qtquant_app.core.errors import SourceError, UsageError
from qtquant_app.core.events import ChunkDone, RunStarted, TensorScanned
from qtquant_app.core.scan import Flag
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import cost
from qtquant_app.engine.preview import preview
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import plan_for, quantize, result
from tests.unit.engine.scans import SCHEMES, W4, WHOLE, by_name, events_of, linear, scanned


def _planted() -> dict[str, torch.Tensor]:
    """A layer for each thing that can be odd, named by it."""
    tensors = {name: linear(seed=at) for at, name in enumerate(("sound", "row", "column", "nan", "inf", "group"))}
    tensors["row"][17] = 0
    tensors["column"][:, 33] = 0
    tensors["nan"][3, 5] = float("nan")
    tensors["inf"][63, 127] = float("-inf")
    tensors["group"][9, 32:48] = 0.03125
    tensors["zero"] = torch.zeros(64, 128, dtype=torch.bfloat16)
    tensors["constant"] = torch.full((64, 128), 0.1, dtype=torch.bfloat16)
    tensors["outlier"] = linear(3072, 4096)
    tensors["outlier"][2000, 3000] = 1e4
    tensors["few"] = linear(32, 64)
    tensors["few"][20, 30] = 1e4
    return {f"model.layers.0.{name}.q_proj.weight": tensor for name, tensor in tensors.items()}


def test_each_planted_oddity_is_flagged_and_nothing_else(tmp_path: Path) -> None:
    found = by_name(scanned(write_checkpoint(tmp_path / "m", _planted()), schemes=(W4,)))
    flags = {name.split(".")[3]: tensor.flags for name, tensor in found.items()}
    assert flags == {
        "sound": (),
        "row": (Flag.DEAD_CHANNELS,),
        "column": (Flag.DEAD_CHANNELS,),
        "nan": (Flag.NON_FINITE,),
        "inf": (Flag.NON_FINITE,),
        "group": (Flag.CONSTANT_GROUPS,),
        "zero": (Flag.ALL_ZERO,),
        "constant": (Flag.CONSTANT,),
        "outlier": (Flag.OUTLIERS,),
        "few": (Flag.OUTLIERS,),
    }
    stats = {name.split(".")[3]: tensor.stats for name, tensor in found.items()}
    assert (stats["row"].dead_rows, stats["row"].dead_columns) == (1, 0)
    assert (stats["column"].dead_rows, stats["column"].dead_columns) == (0, 1)
    assert stats["outlier"].outliers == 1 and stats["outlier"].maximum == 9984 and stats["group"].constant_groups == 1


def test_a_tensor_with_a_nan_has_statistics_but_no_errors_and_says_why(tmp_path: Path) -> None:
    found = by_name(scanned(write_checkpoint(tmp_path / "m", _planted())))
    broken = found["model.layers.0.nan.q_proj.weight"]
    assert broken.reports == () and broken.stats.non_finite == 1 and broken.stats.std > 0
    assert broken.skipped == f"{broken.name} holds 1 weight that is NaN or infinite: no scale fits those"


@pytest.mark.parametrize("chunk", [1 << 10, 4 << 20])
@pytest.mark.parametrize("format", ["", "compressed-tensors", "qtquant"])
def test_scan_preview_and_run_agree_to_the_last_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, chunk: int
) -> None:
    source = small_llama(tmp_path / "m", shards=2)
    checkpoint = open_checkpoint(source)
    monkeypatch.setattr(cost, "CHUNK_BYTES", chunk)
    found = by_name(result(scan(checkpoint, SCHEMES, format=format, device="cpu", cache=False)))
    monkeypatch.undo()
    run_format = format or "compressed-tensors"
    for scheme in SCHEMES:
        if run_format == "qtquant" and scheme.bits == 3:
            continue
        written = quantize(source, tmp_path / scheme.label.replace(" ", "-"), scheme, run_format).tensors
        assert len(written) == 14
        for tensor in written:
            assert found[tensor.name].report(scheme) == tensor
    layer = "model.layers.1.mlp.down_proj.weight"
    for report in found[layer].reports:
        shown = result(preview(checkpoint, layer, report.scheme, format=format, device="cpu"))
        assert (shown.errors, shown.bytes) == (report.errors, report.bytes)


@pytest.mark.parametrize("chunk", [1 << 10, 4 << 20])
def test_statistics_are_those_that_numpy_finds_however_the_rows_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(cost, "CHUNK_BYTES", chunk)
    tensors = llama_tensors()
    found = by_name(scanned(write_checkpoint(tmp_path / "m", tensors)))
    assert list(found) == [tensor.name for tensor in open_checkpoint(tmp_path / "m").tensors]
    for name, tensor in tensors.items():
        values, stats = tensor.double().numpy(), found[name].stats
        assert stats.mean == pytest.approx(values.mean(), abs=1e-15) and stats.std == pytest.approx(values.std())
        assert (stats.minimum, stats.maximum, stats.weights) == (values.min(), values.max(), values.size)
        off = np.abs(values - values.mean())
        assert stats.outliers == (off > 6 * values.std()).sum()


def test_every_kind_of_tensor_is_looked_at(tmp_path: Path) -> None:
    tensors = {
        "model.embed_tokens.weight": linear(96, 64),
        "model.conv.weight": torch.randn(8, 3, 4, 4),
        "model.norm.weight": torch.ones(64),
        "model.scale": torch.tensor(2.5),
        "model.empty": torch.zeros(0, 4),
        "model.layers.0.self_attn.q_proj.weight": linear().to(torch.float8_e4m3fn),
        "model.layers.0.self_attn.k_proj.weight": torch.randint(-128, 128, (16, 32), dtype=torch.int8),
        "model.layers.0.mlp.experts.up_proj": torch.randn(5, 16, 32) + torch.arange(5).reshape(5, 1, 1),
        "model.layers.0.self_attn.v_proj.weight": linear(16, 48, seed=9),
    }
    found = by_name(scanned(write_checkpoint(tmp_path / "m", tensors)))
    for name, tensor in tensors.items():
        if tensor.numel():
            assert found[name].stats.mean == pytest.approx(tensor.double().mean().item(), abs=1e-7), name
            assert found[name].stats.weights == tensor.numel()
        assert found[name].skipped if name != "model.layers.0.self_attn.v_proj.weight" else found[name].reports
    assert found["model.empty"].stats.weights == 0 and found["model.empty"].flags == ()
    assert (
        found["model.layers.0.mlp.experts.up_proj"].stats.maximum == tensors["model.layers.0.mlp.experts.up_proj"].max()
    )


def test_a_scheme_that_a_tensor_cannot_take_is_left_out_and_its_reason_told_where_none_is_left(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", {"model.layers.0.self_attn.q_proj.weight": linear(16, 40)})
    odd = Scheme(bits=3, group_size=32)
    some, none = scanned(source, schemes=(odd, W4)).tensors[0], scanned(source, schemes=(odd,)).tensors[0]
    assert [report.scheme for report in some.reports] == [W4] and some.skipped == ""
    assert none.reports == () and "group size 32 does not divide its 40 columns" in none.skipped
    unknown = scanned(source, schemes=(Scheme(method="magic"),)).tensors[0]
    assert "magic" in unknown.skipped


def test_events_add_up_and_tell_of_every_tensor_once(tmp_path: Path) -> None:
    events, report = events_of(small_llama(tmp_path / "m"))
    started = events[0]
    assert isinstance(started, RunStarted) and started.tensors == len(report.tensors)
    assert sum(e.bytes for e in events if isinstance(e, ChunkDone)) == started.bytes_total
    told = [event.scan for event in events if isinstance(event, TensorScanned)]
    assert sorted(t.name for t in told) == sorted(t.name for t in report.tensors) and len(told) == len(set(told))
    assert report.cached == 0


def test_totals_are_those_of_the_tensors_and_name_the_worst(tmp_path: Path) -> None:
    report = scanned(small_llama(tmp_path / "m"))
    total = next(total for total in report.totals if total.scheme == WHOLE)
    parts = [tensor.report(WHOLE) for tensor in report.tensors if tensor.reports]
    assert total.bytes == sum(part.bytes for part in parts if part)
    assert total.worst == min((p for p in parts if p), key=lambda p: p.errors.sqnr_db).name
    assert total.errors.weights == sum(part.errors.weights for part in parts if part)
    assert report.to_json()["totals"][0]["label"] == W4.label


def test_an_unknown_format_is_refused_and_a_file_that_ends_early_is_named(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m")
    checkpoint = open_checkpoint(source)
    with pytest.raises(UsageError, match="no format 'nothing'"):
        result(scan(checkpoint, SCHEMES, format="nothing", cache=False))
    file = source / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(SourceError, match=r"model\.safetensors ends before"):
        result(scan(checkpoint, SCHEMES, cache=False))


def test_a_plan_names_the_tensors_that_a_scan_measures(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "m")
    quantized = {tensor.name for tensor in plan_for(source).quantized}
    measured = {tensor.name for tensor in scanned(source).tensors if tensor.reports}
    assert quantized == measured - {"lm_head.weight"}
