"""GPTQ and AWQ files, put together here the slow way, decode to the numbers they were made of; and QtQuant's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qtquant_app.core.errors import SourceError
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.unit.engine.packed.reading import decoded, write

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def stream(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes [n] as 32-bit words of a dense stream, bit by bit."""
    places = (codes[:, None] >> np.arange(bits)) & 1
    flat = np.zeros(-(-codes.size * bits // 32) * 32, np.uint64)
    flat[: codes.size * bits] = places.reshape(-1)
    words = (flat.reshape(-1, 32) << np.arange(32, dtype=np.uint64)).sum(1)
    return words.astype(np.uint32).view(np.int32)


class Gptq:
    """Random codes, scales and zero points of a weight [40, 96] in three groups, as GPTQ stores them."""

    def __init__(self, bits: int, version: int, permuted: bool = False) -> None:
        random = np.random.default_rng(bits)
        self.codes = random.integers(0, 1 << bits, (40, 96))
        self.zeros = random.integers(1, 1 << bits, (40, 3))
        self.scales = random.uniform(0.001, 0.01, (40, 3)).astype(np.float16)
        self.index = random.permutation(np.arange(96) // 32) if permuted else np.arange(96) // 32
        stored = self.zeros - (version == 1)
        self.tensors = {
            "m.qweight": torch.from_numpy(np.stack([stream(row, bits) for row in self.codes], axis=1)),
            "m.qzeros": torch.from_numpy(np.stack([stream(group, bits) for group in stored.T])),
            "m.scales": torch.from_numpy(self.scales.T.copy()),
            "m.g_idx": torch.from_numpy(self.index.astype(np.int32)),
        }
        quantization: dict[str, Any] = {"quant_method": "gptq", "bits": bits, "group_size": 32, "sym": False}
        quantization["checkpoint_format"] = "gptq" if version == 1 else "gptq_v2"
        self.config = {"quantization_config": quantization}

    def weight(self) -> torch.Tensor:
        shifted = self.codes - self.zeros[:, self.index]
        return torch.from_numpy((shifted * self.scales[:, self.index].astype(np.float32)).astype(np.float16))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_decodes_to_what_it_was_made_of(tmp_path: Path, bits: int, version: int) -> None:
    for permuted in (False, True):
        made = Gptq(bits, version, permuted)
        checkpoint = write(tmp_path / str(permuted), made.tensors, made.config)
        for step in (0, 7):
            assert torch.equal(decoded(checkpoint, "m.weight", step), made.weight())
        (tensor,) = checkpoint.tensors
        assert tensor.packed is not None and (tensor.packed.bits, tensor.packed.group_size) == (bits, 32)


def test_gptq_is_told_by_its_shapes_where_the_config_is_silent_or_wrong(tmp_path: Path) -> None:
    made = Gptq(3, 1)
    silent = write(tmp_path / "silent", made.tensors, {})
    assert torch.equal(decoded(silent, "m.weight"), made.weight())
    made.config["quantization_config"] |= {"bits": 4, "group_size": 64}
    wrong = write(tmp_path / "wrong", made.tensors, made.config)
    assert torch.equal(decoded(wrong, "m.weight"), made.weight())
    assert [note.code for note in wrong.by_name["m.weight"].packed.notes] == ["bits", "group-size"]


def test_a_group_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    made = Gptq(4, 2)
    made.tensors["m.g_idx"][5] = 3
    with pytest.raises(SourceError, match=r"m\.g_idx names a group that is not there"):
        decoded(write(tmp_path, made.tensors, made.config), "m.weight")


def test_awq_decodes_to_what_it_was_made_of(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    codes, zeros = random.integers(0, 16, (24, 96)), random.integers(0, 16, (24, 3))
    scales = random.uniform(0.001, 0.01, (24, 3)).astype(np.float16)

    def words(numbers: np.ndarray) -> torch.Tensor:
        parts = numbers.T.reshape(numbers.shape[1], 3, 8)[:, :, list(AWQ_ORDER)].astype(np.uint64)
        joined = (parts << (np.arange(8, dtype=np.uint64) * 4)).sum(2)
        return torch.from_numpy(joined.astype(np.uint32).view(np.int32))

    assert hex(words(np.tile(np.arange(8), 3)[:, None]).numpy().view(np.uint32)[0, 0]) == "0x75316420"
    tensors = {"m.qweight": words(codes), "m.qzeros": words(zeros), "m.scales": torch.from_numpy(scales.T.copy())}
    config = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}}
    checkpoint = write(tmp_path, tensors, config)
    expected = (codes - zeros.repeat(32, 1)) * scales.repeat(32, 1).astype(np.float32)
    for step in (0, 5):
        assert torch.equal(decoded(checkpoint, "m.weight", step), torch.from_numpy(expected.astype(np.float16)))


@pytest.mark.parametrize("format", ["qtquant", "compressed-tensors"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_what_qtquant_wrote_opens_as_float_weights(tmp_path: Path, format: str, symmetric: bool) -> None:
    base = open_checkpoint(small_llama(tmp_path / "base"))
    recipe = Recipe(Scheme(bits=4, group_size=32, symmetric=symmetric), format=format)
    report = None
    events = run(make_plan(base, recipe, device="cpu"), RunOptions(str(tmp_path / "out")))
    try:
        while True:
            next(events)
    except StopIteration as end:
        report = end.value
    found = open_checkpoint(tmp_path / "out")
    assert [(t.name, t.shape, t.dtype, t.kind) for t in sorted(found.tensors, key=lambda t: t.name)] == [
        (t.name, t.shape, t.dtype, t.kind) for t in sorted(base.tensors, key=lambda t: t.name)
    ]
    for tensor in report.tensors:
        weight, back = decoded(base, tensor.name).double(), decoded(found, tensor.name).double()
        # Decoded in bfloat16; the run's own errors are those before that last rounding.
        assert float((weight - back).norm() / weight.norm()) == pytest.approx(tensor.errors.relative_error, rel=0.01)
        assert found.by_name[tensor.name].packed.notes == ()
