"""What the kernels cost before they run: nothing at import, vectors once compiled."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.kernels import fused, jit, source
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.unit.quant.cases import gaussian

IMPORT = """
import sys
import qtquant_app.quant.kernels.cpu, qtquant_app.quant.kernels.inspect, qtquant_app.quant.methods
from qtquant_app.quant.kernels import fused
assert "torch" not in sys.modules
assert not fused.quantize_rows.signatures
"""


def test_importing_the_kernels_loads_no_torch_and_compiles_nothing() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], check=True)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="looks for x86 registers")
def test_the_fused_pass_is_vector_code() -> None:
    CpuBackend().quantize(gaussian("BF16"), "BF16", Scheme(), 4)
    fused.quantize_rows.recompile()  # type: ignore[attr-defined]
    (code, *_) = fused.quantize_rows.inspect_asm().values()  # type: ignore[attr-defined]
    assert "divps" in code and "divss" in code
    assert code.count("divps") >= 2


def test_threads_that_share_a_backend_do_not_disturb_each_other() -> None:
    backend, scheme = CpuBackend(), Scheme(bits=3, group_size=32, method="mse")
    chunks = [gaussian("BF16", 16, 512, seed) for seed in range(6)]
    alone = [backend.quantize(chunk, "BF16", scheme, 4).packed for chunk in chunks]
    found: dict[int, bool] = {}

    def work(index: int) -> None:
        together = [backend.quantize(chunks[index], "BF16", scheme, 4).packed for _ in range(5)]
        found[index] = all(np.array_equal(packed, alone[index]) for packed in together)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(6), True)


@pytest.mark.parametrize(("dtype", "kind"), [("F16", source.F16), ("BF16", source.BF16)])
def test_every_number_of_sixteen_bits_is_read_and_written_exactly(dtype: str, kind: int) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    out = np.empty(1 << 16, np.float32)
    source.decode(source.flat(bits), 0, len(bits), kind, out)
    expected = bits.view(np.float16).astype(np.float32) if dtype == "F16" else (bits.astype(np.uint32) << 16).view("f4")
    finite = np.isfinite(expected)
    assert out[finite].tobytes() == expected[finite].tobytes()
    assert not np.isfinite(out[~finite]).any()
    for pattern in range(0, 1 << 15, 37):
        if finite[pattern]:
            assert source.stored(expected[pattern], kind) == pattern


def test_scales_round_to_float16_as_numpy_rounds() -> None:
    random = np.random.default_rng(0)
    values = (2.0 ** random.uniform(-27, 15.99, 3000)).astype(np.float32)
    halves = (np.arange(3000) * 2.0**-25).astype(np.float32)
    for value in np.concatenate([values, halves, np.float32([65519.0, 65504.0, 6.1e-5])]):
        assert source.stored(value, source.F16) == np.float16(value).view(np.uint16)
    assert source.stored(np.float32(65520), source.F16) == 0x7C00


def test_compiled_kernels_are_kept_in_a_folder_named_by_their_sources() -> None:
    folder = jit._CACHE
    assert folder is not None and folder.is_dir() and folder.name.startswith("kernels-")
    assert jit._cache_folder() == folder


def test_where_no_folder_can_be_written_kernels_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(jit, "_cache_bases", lambda: iter([blocked]))
    assert jit._cache_folder() is None
    monkeypatch.setattr(jit, "_CACHE", None)
    assert jit.compiled(lambda x: x + 1)(1) == 2


def test_the_users_own_cache_folder_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", str(tmp_path))
    folder = jit._cache_folder()
    assert folder is not None and folder.parent == tmp_path


def test_kernels_made_by_several_threads_at_once_are_all_kept_in_the_folder() -> None:
    def double(x: int) -> int:
        return 2 * x

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: jit.compiled(double), range(400)))
    assert {str(kernel._cache.cache_path).startswith(str(jit._CACHE)) for kernel in made} == {True}
