"""Block types against gguf-py: its quantizers write our bytes of the legacy types, its dequantizers read all of ours."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import RowErrors, ScaleOverflow, as_float32, of_blocks
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.unit.quant.blocks.cases import blocks_of, importance_of, rows_of_weights

CPU = CpuBackend()
LEGACY = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
BRIEF = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("name", LEGACY)
@BRIEF
@given(rows_of_weights(32))
def test_a_legacy_type_has_the_bytes_of_gguf_py(name: str, drawn: tuple[NDArray[Any], str]) -> None:
    kind = gguf.GGMLQuantizationType[name]
    raw, dtype = drawn
    values = as_float32(raw, dtype)
    try:
        ours = blocks_of(CPU, raw, dtype, name)
    except ScaleOverflow:
        with np.errstate(all="ignore"):
            theirs = gguf.dequantize(gguf.quantize(values, kind), kind)
        assert not np.isfinite(theirs).all()
        return
    with np.errstate(all="ignore"):
        theirs = gguf.quantize(values, kind)
    different = _but_signs_of_zero(theirs, name) != _but_signs_of_zero(ours, name)
    assert not different.any()


def _but_signs_of_zero(packed: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Bytes in which a step or base of minus zero is zero: which of two zeros is least, numpy leaves to the machine."""
    blocks = packed.reshape(-1, LAYOUTS[name].nbytes).copy()
    for at in (1, 3) if name.endswith("_1") else (1,):
        zero = (blocks[:, at] == 0x80) & (blocks[:, at - 1] == 0)
        blocks[zero, at] = 0
    return blocks


@pytest.mark.parametrize("name", ["F16", "BF16", *LEGACY, "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
@BRIEF
@given(rows_of_weights(256, wild=False), st.booleans())
def test_gguf_py_decodes_our_bytes_to_exactly_our_weights(
    name: str, drawn: tuple[NDArray[Any], str], weighted: bool
) -> None:
    kind = gguf.GGMLQuantizationType[name]
    raw, dtype = drawn
    scheme = Scheme.of_layout(name)
    importance = importance_of(raw.shape[1]) if weighted else None
    chunk = CPU.quantize(raw, dtype, scheme, 1, importance=importance)
    theirs = gguf.dequantize(chunk.packed, kind).astype(np.float32)
    assert theirs.tobytes() == CPU.dequantize(chunk, dtype, scheme, raw.shape[1]).tobytes()


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name.endswith("_K")])
@BRIEF
@given(st.integers(0, 2**32))
def test_gguf_py_decodes_any_bytes_as_we_do(name: str, seed: int) -> None:
    kind = gguf.GGMLQuantizationType[name]
    packed = np.frombuffer(np.random.default_rng(seed).bytes(6 * LAYOUTS[name].nbytes), np.uint8).reshape(3, -1)
    with np.errstate(all="ignore"):
        theirs = gguf.dequantize(packed, kind)
    ours = CPU.dequantize(of_blocks(packed, "F32", RowErrors.concat([])), "F32", Scheme.of_layout(name), 512)
    assert np.array_equal(theirs, ours, equal_nan=True)
