"""Which weight is explained, of which tensors, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qtquant_app.cli.main import main
from qtquant_app.core.bits import digits
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.derivation import full_text, steps
from qtquant_app.core.errors import PlanError, QtQuantError, SourceError, UsageError
from qtquant_app.core.explanation import Explanation, read_out
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.explain import explain
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.quant.chunk import as_float32, bits_of
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.checkpoints import write_checkpoint
from tests.driving import finish, result

LAYER = "model.layers.0.mlp.up_proj.weight"
BLOCK = "model.layers.0"
TENSOR = Scheme(4, strategy="tensor", group_size=None)


def opened(folder: Path, tensors: Mapping[str, torch.Tensor]) -> Checkpoint:
    return open_checkpoint(write_checkpoint(folder / "model", dict(tensors)))


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.05


def explained(
    checkpoint: Checkpoint, scheme: Scheme, row: int, column: int, layer: str = LAYER, **more: Any
) -> Explanation:
    return result(explain(checkpoint, layer, scheme, (row, row + 1), (column, column + 1), **more))


@pytest.mark.parametrize("scheme", [Scheme(group_size=32), Scheme(3, group_size=32, symmetric=False), TENSOR])
def test_of_a_rectangle_the_weight_with_the_largest_error_is_explained(
    tmp_path: Path, scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qtquant_app.engine.cost.CHUNK_BYTES", 1000)  # several chunks of a few rows
    weights = gaussian(40, 96).to(torch.bfloat16)
    checkpoint, raw = opened(tmp_path, {LAYER: weights}), weights.view(torch.int16).numpy().view(np.uint16)
    chunk = CpuBackend().quantize(raw, "BF16", scheme, 4)
    error = as_float32(raw, "BF16") - CpuBackend().dequantize(chunk, "BF16", scheme, 96)
    for rows, columns in (((0, 40), (0, 96)), ((3, 17), (10, 70)), ((5, 6), (0, 96)), ((39, 40), (95, 96))):
        part = np.abs(error[slice(*rows), slice(*columns)])
        row, column = np.unravel_index(part.argmax(), part.shape)
        found = result(explain(checkpoint, LAYER, scheme, rows, columns))
        assert (found.row, found.column) == (rows[0] + row, columns[0] + column)
        assert found.error == error[found.row, found.column]


def test_of_equal_errors_the_first_by_rows_is_explained(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {LAYER: torch.full((8, 64), 0.25)})
    found = result(explain(checkpoint, LAYER, Scheme(group_size=32), (2, 8), (7, 64)))
    assert (found.row, found.column) == (2, 7)


def test_only_the_rows_of_the_rectangle_are_read(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {LAYER: gaussian(64, 128)})
    events, _ = finish(explain(checkpoint, LAYER, Scheme(), (5, 7), (0, 1)))
    assert sum(getattr(event, "bytes", 0) for event in events) == 2 * 128 * 4


def test_the_extremes_of_a_tensor_may_be_given(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {LAYER: gaussian(64, 128)})
    found = explained(checkpoint, TENSOR, 5, 6)
    events, again = finish(
        explain(checkpoint, LAYER, TENSOR, (5, 6), (6, 7), extremes=(found.lo, found.hi), device="cpu")
    )
    assert again == found
    assert sum(getattr(event, "bytes", 0) for event in events) == 128 * 4


EIGHT_BIT = [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.uint8]


@pytest.mark.parametrize("dtype", [*EIGHT_BIT, torch.float64, torch.int32], ids=str)
def test_weights_of_any_dtype_show_the_bits_of_the_file(tmp_path: Path, dtype: torch.dtype) -> None:
    source = (gaussian(8, 64) * 40).abs().to(dtype)
    checkpoint = opened(tmp_path, {LAYER: source})
    found = explained(checkpoint, Scheme(group_size=32), 3, 33)
    assert found.carried
    assert found.stored.value == source[3, 33].double().item()
    data = source[3, 33].reshape(1).view(torch.uint8).numpy().tobytes()
    assert found.stored.pattern == int.from_bytes(data, "little")
    assert found.weight == source[3, 33].float().item()
    assert found.scale.dtype == ("BF16" if source.element_size() == 1 else "F32")


@pytest.mark.parametrize(
    ("layer", "shape", "row", "column"),
    [
        (f"{BLOCK}.mlp.experts.up_proj[2]", (3, 8, 64), 7, 63),
        (f"{BLOCK}.conv.weight", (8, 4, 3, 3), 5, 35),
        (f"{BLOCK}.input_layernorm.weight", (64,), 0, 40),
        ("model.embed_tokens.weight", (16, 32), 15, 31),
    ],
)
def test_tensors_of_any_shape_are_explained(
    tmp_path: Path, layer: str, shape: tuple[int, ...], row: int, column: int
) -> None:
    source = gaussian(*shape)
    checkpoint = opened(tmp_path, {layer.partition("[")[0]: source})
    part = source[2] if len(shape) == 3 else source
    found = explained(checkpoint, Scheme(4, strategy="channel", group_size=None), row, column, layer)
    assert found.layer == layer and found.weight == part.reshape(-1, found.shape[1])[row, column].item()


def test_a_group_of_zeros_and_a_scale_too_small_are_said_to_be_so(tmp_path: Path) -> None:
    weights = torch.zeros(2, 64, dtype=torch.float16)
    weights[1, :3] = torch.tensor([2.0**-24, -(2.0**-24), 2.0**-24])
    checkpoint = opened(tmp_path, {LAYER: weights})
    for scheme in (Scheme(group_size=32), Scheme(group_size=32, symmetric=False, method="mse")):
        empty, tiny = explained(checkpoint, scheme, 0, 1), explained(checkpoint, scheme, 1, 1)
        assert empty.case == "empty" and empty.scale.value == 1.0 and empty.restored == 0
        assert "All weights of the group are zero" in full_text(empty)
        assert tiny.case == "underflow" and tiny.scale.value == 2.0**-24 and tiny.error == 0
        assert "would be zero in F16" in full_text(tiny)


def test_a_clipped_weight_is_called_so_and_rounding_at_the_end_is_not(tmp_path: Path) -> None:
    weights = gaussian(1, 256, seed=3)
    weights[0, 0] = 0.6
    checkpoint = opened(tmp_path, {LAYER: weights})
    clipped = explained(checkpoint, Scheme(3, group_size=256, method="mse"), 0, 0)
    assert clipped.clipped and abs(clipped.half_steps) > 1 and clipped.factor < 1
    assert "Clipped" in full_text(clipped)
    last = explained(checkpoint, Scheme(3, group_size=256), 0, 0)
    assert last.unclamped == 8 and last.code == 7 and not last.clipped
    assert "no more than half a step away" in full_text(last)


def test_a_code_that_straddles_two_words_is_lit_in_both(tmp_path: Path) -> None:
    found = explained(opened(tmp_path, {LAYER: gaussian(2, 64)}), Scheme(3, group_size=32), 1, 10)
    first, second = found.code_words
    assert found.placement.code.elements == ((1, 0), (1, 1))
    assert [field.width for word in (first, second) for field in word.fields if field.lit] == [2, 1]
    assert found.placement.code.text == "weight_packed[1, 0], I32, bits 30 to 31 and weight_packed[1, 1], I32, bit 0"


def test_what_a_tensor_or_a_place_cannot_be_is_refused(tmp_path: Path) -> None:
    damaged = gaussian(4, 64)
    damaged[2, 5] = float("nan")
    checkpoint = opened(tmp_path, {LAYER: gaussian(4, 60), f"{BLOCK}.mlp.down_proj.weight": damaged})

    def refusal(kind: type[QtQuantError], layer: str, scheme: Scheme, row: int, column: int) -> str:
        with pytest.raises(kind) as caught:
            explained(checkpoint, scheme, row, column, layer)
        return caught.value.message

    assert "has no row 4" in refusal(UsageError, LAYER, TENSOR, 4, 0)
    assert "has no column 60" in refusal(UsageError, LAYER, TENSOR, 0, 60)
    assert "has no layer" in refusal(UsageError, "nothing", TENSOR, 0, 0)
    assert "does not divide its 60 columns" in refusal(PlanError, LAYER, Scheme(3, group_size=32), 0, 0)
    assert "nan at row 2, column 5" in refusal(SourceError, f"{BLOCK}.mlp.down_proj", Scheme(), 2, 0)
    assert explained(checkpoint, Scheme(group_size=32), 0, 59).format == "qtquant"
    assert explained(checkpoint, Scheme(), 1, 0, f"{BLOCK}.mlp.down_proj").row == 1


def test_the_text_has_every_number_and_the_document_is_plain_json(tmp_path: Path) -> None:
    found = explained(opened(tmp_path, {LAYER: gaussian(4, 64)}), Scheme(4, group_size=32, symmetric=False), 3, 40)
    text = full_text(found)
    assert len(steps(found)) == 8
    for part in (found.layer, "row 3, column 40", found.weight_word.text, found.code_words[0].text, "zero_point[0, 1]"):
        assert part in text
    where, what = read_out(found).splitlines()
    assert where.startswith("row 3, column 40, group 1") and f"code {found.code}" in where
    assert f"zero point {found.zero}" in what and "error" in what
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["code"] == found.code


def test_the_command_line_explains_a_weight_without_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened(tmp_path, {LAYER: gaussian(4, 64)})
    words = ["explain", str(tmp_path / "model"), "--layer", LAYER, "--row", "3", "--column", "40", "--group-size", "32"]
    assert main([*words, "--format", "qtquant"]) == 0
    assert "weight_packed[3, 20], U8, bits 0 to 3" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["row"] == 3
    code = f"import sys; from qtquant_app.cli.main import main; main({words!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_bits_of_the_scale_are_those_of_the_backend(tmp_path: Path) -> None:
    weights = gaussian(4, 64)
    scheme = Scheme(4, group_size=32)
    chunk = CpuBackend().quantize(weights.numpy(), "F32", scheme, 4)
    found = explained(opened(tmp_path, {LAYER: weights}), scheme, 2, 40)
    assert found.scale.pattern == bits_of(chunk.scale)[2, 1]


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_hqq_fitted_is_told_from_the_start_on(tmp_path: Path, symmetric: bool) -> None:
    checkpoint = opened(tmp_path, {LAYER: gaussian(8, 64, seed=5)})
    scheme = Scheme(3, group_size=64, symmetric=symmetric, method="hqq")
    all_rows = [explained(checkpoint, scheme, row, 6) for row in range(8)]
    found = max(all_rows, key=lambda one: one.fitted.rounds if one.fitted else 0)
    start = explained(checkpoint, replace(scheme, method="rtn"), found.row, 6)
    assert found.fitted is not None and found.fitted.rounds > 0 and start.fitted is None
    assert (found.fitted.scale, found.fitted.zero) == (start.scale.value, start.zero)
    assert (found.exact_scale, found.exact_zero) == (start.exact_scale, start.exact_zero)
    assert found.scale.value != start.scale.value
    assert found.restored == pytest.approx((found.code - found.zero) * found.scale.value)
    told = full_text(found)
    assert "of HQQ then fitted s and z" in told and f"s = {digits(found.scale.value)} (F32)" in told
    assert found.to_json()["fitted"]["rounds"] == found.fitted.rounds and "fitted" not in start.to_json()


def test_weights_that_lie_on_their_levels_leave_hqq_nothing_to_do(tmp_path: Path) -> None:
    levels = torch.arange(64, dtype=torch.float32).remainder(8).reshape(1, 64)
    found = explained(opened(tmp_path, {LAYER: levels}), Scheme(3, group_size=64, symmetric=False, method="hqq"), 0, 3)
    assert found.fitted is not None and found.fitted.rounds == 0 and found.error == 0
    assert "so it stays" in full_text(found)
