"""GGUF block types: blocks whose bytes are known."""

from __future__ import annotations

import numpy as np
import pytest

from qtquant_app.quant.chunk import Backend
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.blocks.cases import blocks_of

COUNTING = {
    "Q8_0": "082481899199a1a9b1b9c0c8d0d8e0e8f0f8000810182028303840474f575f676f77",
    "Q4_0": "0034809191a2a2b3b3c4c4d5d5e6e6f7f7f8",
    "Q4_1": "223400c080809191a2a2b3b3c4c4d5d5e6e6f7f7",
    "Q5_0": "00300000ffff00112233445566778899aabbccddeeff",
    "Q5_1": "003000c00000ffff00112233445566778899aabbccddeeff",
}
"""The block that gguf-py 0.19 makes of (k - 16) / 8, k = 0 ... 31."""


@pytest.mark.parametrize("backend", [CpuBackend(), TorchBackend("cpu")])
@pytest.mark.parametrize("name", COUNTING)
def test_counting_weights_become_the_known_block(name: str, backend: Backend) -> None:
    raw = ((np.arange(32, dtype=np.float32) - 16) / 8)[None]
    assert blocks_of(backend, raw, "F32", name).tobytes().hex() == COUNTING[name]
