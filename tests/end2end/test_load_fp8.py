"""FP8 in the plain format: weights are those of the run, inputs are rounded as compressed-tensors defines it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.load import load
from qtquant_app.engine.packed.whole import all_weights
from qtquant_app.engine.runtime import fp8
from qtquant_app.engine.runtime.config import QtQuantConfig
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from qtquant_app.transformers import QuantizedLinear
from tests.driving import quantize, result
from tests.end2end.tiny_models import inputs, llama, outputs

BLOCKS = parse_label("FP8 128x128")
WEIGHTS = (parse_label("FP8 tensor"), parse_label("FP8 ch mse"), BLOCKS)
SCHEMES = (*WEIGHTS, parse_label("FP8 ch A8"), replace(BLOCKS, activations="fp8"))


def label(scheme: Scheme) -> str:
    return scheme.label


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp8") / "base"
    torch.manual_seed(0)
    llama(hidden_size=256, intermediate_size=384).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("scheme", SCHEMES, ids=label)
def test_it_computes_what_transformers_and_compressed_tensors_compute(
    scheme: Scheme, base: Path, tmp_path: Path
) -> None:
    quantize(base, tmp_path / "plain", scheme, format="qtquant")
    quantize(base, tmp_path / "theirs", scheme, format="compressed-tensors")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs", dtype=torch.float32).eval()
    own, given = load(tmp_path / "plain", dtype="float32"), inputs("llama", torch.float32)
    assert any(isinstance(layer, QuantizedLinear) for layer in own.modules())
    torch.testing.assert_close(outputs(own, given), outputs(theirs, given), rtol=1e-4, atol=1e-4)
    assert result(verify(tmp_path / "plain", base)).ok


@pytest.mark.parametrize("scheme", WEIGHTS, ids=label)
def test_its_weights_are_read_as_a_source_too(scheme: Scheme, base: Path, tmp_path: Path) -> None:
    quantize(base, tmp_path / "plain", scheme, format="qtquant")
    quantize(base, tmp_path / "theirs", scheme, format="compressed-tensors")
    found = all_weights(open_checkpoint(tmp_path / "plain"))
    wanted = all_weights(open_checkpoint(tmp_path / "theirs"))
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        assert torch.equal(found[name].to(weight.dtype), weight), name
    stored = load_file(tmp_path / "plain" / "model.safetensors")
    assert stored["model.layers.0.mlp.up_proj.weight_packed"].dtype == torch.uint8


@pytest.mark.parametrize("columns", [None, 16])
def test_inputs_are_rounded_as_compressed_tensors_rounds_them(columns: int | None) -> None:
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp

    words = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": True}
    words |= {"strategy": "token"} if columns is None else {"strategy": "group", "group_size": columns}
    args = QuantizationArgs(**words)
    x = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 5)[:, None]
    scale, zero = compute_dynamic_scales_and_zp(x, args, torch.nn.Module())
    torch.testing.assert_close(fp8.rounded_tokens(x, columns), fake_quantize(x, scale, zero, args), rtol=0, atol=0)


def e4m3(values: np.ndarray) -> np.ndarray:
    """The nearest numbers of 4 bits of exponent and 3 of mantissa, ties to the even one."""
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(values), 2.0**-20))), -6)
    step = 2.0 ** (exponent - 3)
    return np.clip(np.rint(values / step) * step, -448, 448)


@pytest.mark.parametrize("columns", [None, 16, 32])
def test_inputs_are_rounded_as_the_definition_says(columns: int | None) -> None:
    x = torch.randn(7, 40, generator=torch.Generator().manual_seed(1))
    size = columns or 40
    found = fp8.rounded_tokens(x, columns).double().numpy()
    for start in range(0, 40, size):
        part = x[:, start : start + size].double().numpy()
        scale = np.abs(part).max(1, keepdims=True) / 448
        np.testing.assert_allclose(found[:, start : start + size], e4m3(part / scale) * scale, rtol=1e-5, atol=1e-7)


def test_tokens_of_zeros_stay_zeros() -> None:
    assert torch.equal(fp8.rounded_tokens(torch.zeros(2, 8)), torch.zeros(2, 8))


def test_a_large_layer_is_worked_off_in_whole_blocks(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize(base, tmp_path / "plain", BLOCKS, format="qtquant")
    given = inputs("llama", torch.float32)
    model = load(tmp_path / "plain", dtype="float32")
    whole = outputs(model, given)
    monkeypatch.setattr("qtquant_app.engine.runtime.linear._CHUNK_WEIGHTS", 200 * 256)
    torch.testing.assert_close(outputs(model, given), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["NVFP4", "MXFP4"])
def test_other_floats_are_refused(name: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=f"holds FP8 alone of floating-point codes, not {name}"):
        quantize(base, tmp_path / "plain", parse_label(name), format="qtquant")
    with pytest.raises(SourceError, match="does not pack"):
        QtQuantConfig([parse_label(name).to_json()], {"a": 0})
