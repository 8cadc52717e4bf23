"""A device that is short of memory: smaller chunks, at last the CPU, and the same bytes. The device is the CPU in disguise."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.events import Warned
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import cost, device, tools
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.sparing import SparingBackend, out_of_memory
from qtquant_app.quant.chunk import Backend, Fixed, NonFinite, QuantizedChunk, Raw, RowErrors
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.checkpoints import small_llama
from tests.driving import finish, plan_for, result, weight_bytes

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
]
SCHEMES = [
    Scheme(bits=4, group_size=32, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(bits=5, strategy="tensor", group_size=None, symmetric=False),
]


class SmallDevice(CpuBackend):
    """Holds so many weights at once."""

    name = "cuda"

    def __init__(self, most: int, error: Exception = ERRORS[0]) -> None:
        self.most, self.error = most, error
        self.largest = 0

    def _check(self, weights: int) -> None:
        if weights > self.most:
            raise self.error
        self.largest = max(self.largest, weights)

    def quantize(
        self, raw: Raw, dtype: str, scheme: Scheme, align: int, fixed: Fixed | None = None, importance: Any = None
    ) -> QuantizedChunk:
        self._check(raw.size)
        return super().quantize(raw, dtype, scheme, align, fixed, importance)

    def extremes(self, raw: Raw, dtype: str) -> tuple[float, float]:
        self._check(raw.size)
        return super().extremes(raw, dtype)

    def compare(self, raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
        self._check(raw.size)
        return super().compare(raw, dtype, chunk, scheme)


def on(monkeypatch: pytest.MonkeyPatch, small: SmallDevice) -> None:
    """Makes `small` the device "cuda"."""

    def backend_for(name: str) -> Backend:
        return CpuBackend() if name == "cpu" else small

    monkeypatch.setattr(tools, "backend_for", backend_for)
    monkeypatch.setattr("qtquant_app.engine.planner.resolve", lambda name: name)
    monkeypatch.setattr("qtquant_app.engine.quantize.watch_device", lambda name: None)
    monkeypatch.setattr("qtquant_app.engine.quantize.device_peak_bytes", lambda name: 0)


def made(folder: Path) -> dict[str, bytes]:
    """Every file of a result; its record but for the device."""
    files = weight_bytes(folder)
    return files | {"qtquant.json": files["qtquant.json"].replace(b'"device": "cuda"', b'"device": "cpu"')}


def planned(source: Path, scheme: Scheme, **options: Any) -> Any:
    checkpoint = open_checkpoint(source)
    return make_plan(checkpoint, plan_for(source, scheme).recipe, device="cuda", **options)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label)
@pytest.mark.parametrize("error", ERRORS, ids=["torch", "cuda", "mps"])
def test_a_chunk_that_does_not_fit_is_halved_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: Scheme, error: Exception
) -> None:
    source = small_llama(tmp_path / "model")
    result(run(plan_for(source, scheme), RunOptions(str(tmp_path / "cpu"))))
    on(monkeypatch, SmallDevice(128 * 11, error))
    seen, report = finish(run(planned(source, scheme), RunOptions(str(tmp_path / "device"))))
    assert made(tmp_path / "device") == made(tmp_path / "cpu")
    said = [event for event in seen if isinstance(event, Warned) and event.code == "device-memory"]
    assert report.verified and report.shortages.halved == len(said) >= 2 and not report.shortages.on_cpu
    assert all(".weight: it now gets" in event.text for event in said)
    assert report.to_json()["shortages"] == {"halved": len(said), "on_cpu": []}


def test_a_row_that_does_not_fit_sends_its_tensor_to_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_llama(tmp_path / "model")
    result(run(plan_for(source), RunOptions(str(tmp_path / "cpu"))))
    on(monkeypatch, SmallDevice(100))  # rows of 64 fit, those of 128 do not
    seen, report = finish(run(planned(source, Scheme(group_size=32)), RunOptions(str(tmp_path / "device"))))
    assert made(tmp_path / "device") == made(tmp_path / "cpu")
    long = {f"model.layers.{block}.mlp.down_proj.weight" for block in range(2)}
    assert set(report.shortages.on_cpu) == long
    for name in long:
        assert (
            sum(
                isinstance(event, Warned) and event.text.startswith(f"{name} is worked on by the CPU") for event in seen
            )
            == 1
        )


def test_a_ceiling_keeps_chunks_small_and_longer_rows_away_from_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = small_llama(tmp_path / "model")
    result(run(plan_for(source), RunOptions(str(tmp_path / "cpu"))))
    small = SmallDevice(1 << 40)
    on(monkeypatch, small)
    ceiling = cost.DEVICE_FACTOR * cost.DEVICE_THREADS * 2 * 100  # a hundred weights for each of two threads
    plan = planned(source, Scheme(group_size=32), max_device_memory=ceiling)
    assert plan.peak_device_bytes <= ceiling
    _, report = finish(run(plan, RunOptions(str(tmp_path / "device"), threads=2)))
    assert made(tmp_path / "device") == made(tmp_path / "cpu")
    assert 0 < small.largest <= 100
    assert len(report.shortages.on_cpu) == 2 and report.max_device_memory == ceiling
    assert plan.digest == planned(source, Scheme(group_size=32)).digest


@given(st.integers(1, 30), st.integers(1, 400), st.sampled_from(SCHEMES))
@settings(deadline=None, max_examples=60)
def test_whatever_fits_the_result_is_that_of_the_whole_chunk(rows: int, most: int, scheme: Scheme) -> None:
    raw = np.random.default_rng(rows).standard_normal((rows, 37)).astype(np.float32)
    cpu = CpuBackend()
    sparing = SparingBackend(SmallDevice(most), cpu)
    one, other = cpu.quantize(raw, "F32", scheme, 4), sparing.quantize(raw, "F32", scheme, 4)
    assert np.array_equal(one.packed, other.packed) and np.array_equal(one.scale, other.scale)
    assert (one.zero is None and other.zero is None) or np.array_equal(one.zero, other.zero)  # type: ignore[arg-type]
    assert one.errors.sums(37) == other.errors.sums(37)
    assert sparing.compare(raw, "F32", other, scheme).sums(37) == one.errors.sums(37)
    assert np.array_equal(sparing.dequantize(other, "F32", scheme, 37), cpu.dequantize(one, "F32", scheme, 37))


def test_a_bad_weight_is_named_by_its_row_in_the_chunk_however_it_was_cut() -> None:
    raw = np.ones((20, 16), np.float32)
    raw[17, 3] = np.nan
    with pytest.raises(NonFinite) as caught:
        SparingBackend(SmallDevice(48), CpuBackend()).quantize(raw, "F32", SCHEMES[1], 4)
    assert (caught.value.row, caught.value.column) == (17, 3)


@pytest.mark.parametrize(
    "error", [RuntimeError("an illegal memory access was encountered"), ValueError("out of memory")]
)
def test_any_other_error_of_a_device_is_no_want_of_memory(error: Exception) -> None:
    assert not out_of_memory(error)
    with pytest.raises(type(error)):
        SparingBackend(SmallDevice(1, error), CpuBackend()).quantize(np.ones((2, 2), np.float32), "F32", SCHEMES[1], 4)


def test_a_pause_gives_back_what_torch_keeps_and_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[str] = []

    def kind(name: str, used: bool) -> SimpleNamespace:
        return SimpleNamespace(is_initialized=lambda: used, empty_cache=lambda: emptied.append(name))

    mps = SimpleNamespace(is_available=lambda: True)
    stub = SimpleNamespace(
        cuda=kind("cuda", True), xpu=kind("xpu", False), mps=kind("mps", True), backends=SimpleNamespace(mps=mps)
    )
    monkeypatch.setitem(sys.modules, "torch", stub)  # type: ignore[arg-type]
    device.release_cached()
    assert emptied == ["cuda", "mps"]
    monkeypatch.delitem(sys.modules, "torch")
    device.release_cached()
    assert "torch" not in sys.modules and len(emptied) == 2
