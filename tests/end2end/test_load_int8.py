"""W8A8: the integers are exact, and the layer computes what integer arithmetic written out in numpy computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.engine.runtime import int8
from qtquant_app.transformers import QuantizedLinear
from tests import driving
from tests.checkpoints import write_checkpoint
from tests.end2end.round_trip import quantize
from tests.end2end.tiny_models import build, inputs, llama, outputs

W8A8 = Scheme(8, strategy="channel", group_size=None, activations="int8")
W8A8_TENSOR = Scheme(8, strategy="tensor", group_size=None, activations="int8")


def integer_linear(x: torch.Tensor, layer: QuantizedLinear) -> NDArray[np.float64]:
    """The definition, in int64 and float64: codes round(x / (max|x| / 127)), sums of products, both scales."""
    values = x.detach().float().reshape(-1, layer.in_features).numpy()
    token = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    codes = np.rint(values / np.where(token == 0, np.float32(1), token)).astype(np.int64)
    weight = layer.weight_packed.numpy().astype(np.int64) - 128
    scale = layer.weight_scale.float().numpy().astype(np.float64).reshape(1, -1)
    result = (codes @ weight.T) * token.astype(np.float64) * scale
    bias = 0.0 if layer.bias is None else layer.bias.detach().double().numpy()
    return (result + bias).reshape(*x.shape[:-1], -1)


@pytest.mark.parametrize("columns", [1, 7, 1024, 1025, 5000])
def test_the_product_of_extreme_codes_is_exact(columns: int) -> None:
    a = torch.full((3, columns), 127, dtype=torch.int8)
    b = torch.full((4, columns), -128, dtype=torch.int8)
    assert torch.equal(int8.matmul(a, b), torch.full((3, 4), -127 * 128 * columns, dtype=torch.int32))


def test_the_product_of_random_codes_is_exact() -> None:
    random = torch.Generator().manual_seed(3)
    a = torch.randint(-127, 128, (9, 3001), generator=random).to(torch.int8)
    b = torch.randint(-128, 128, (13, 3001), generator=random).to(torch.int8)
    assert torch.equal(int8.matmul(a, b).long(), a.long() @ b.long().t())


def test_autocast_does_not_touch_the_integers() -> None:
    layer, x = _layer(96, 40), torch.randn(5, 96)
    plain = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x), plain)


def test_a_token_is_rounded_half_to_even_to_its_largest_value() -> None:
    codes, scale = int8.quantize_tokens(torch.tensor([[127.0, 0.5, 1.5, -2.5, -127.0], [0.0, 0.0, 0.0, 0.0, 0.0]]))
    assert codes.tolist() == [[127, 0, 2, -2, -127], [0, 0, 0, 0, 0]]
    assert scale.tolist() == [[1.0], [1.0]]


def test_tokens_too_small_to_have_a_scale_give_zero() -> None:
    layer = _layer(8, 4, bias=False)
    assert torch.equal(layer(torch.full((1, 8), 1e-45)), torch.zeros(1, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scheme", [W8A8, W8A8_TENSOR], ids=["channel", "tensor"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_a_layer_computes_the_definition(dtype: torch.dtype, scheme: Scheme, bias: bool) -> None:
    layer, x = _layer(1500, 70, scheme, bias), torch.randn(2, 5, 1500).to(dtype)
    expected = torch.from_numpy(integer_linear(x, layer)).to(dtype)
    assert layer(x).dtype == dtype
    # float32 arithmetic on the exact sums: three roundings; in bfloat16 the last of them decides.
    rtol = 1e-6 if dtype == torch.float32 else 2**-8
    torch.testing.assert_close(layer(x), expected, rtol=rtol, atol=1e-4 * float(expected.abs().max()))


def test_every_layer_of_a_loaded_model_computes_the_definition(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trip = quantize(llama(attention_bias=True), tmp_path, Recipe(W8A8, format="qtquant"))
    model, seen = load(trip.output), []

    def compare(layer: QuantizedLinear, args: tuple[torch.Tensor], made: torch.Tensor) -> None:
        expected = torch.from_numpy(integer_linear(args[0], layer)).float()
        torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
        seen.append(layer)

    for layer in model.modules():
        if isinstance(layer, QuantizedLinear):
            layer.register_forward_hook(compare)
    outputs(model, inputs("llama", torch.float32))
    assert len(seen) == len(trip.plan.quantized)


def test_rounding_activations_moves_the_output_a_little(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(W8A8, format="qtquant"))
    given = inputs("llama", torch.float32)
    weights_only = outputs(trip.reference(transformers.LlamaForCausalLM, torch.float32), given)
    difference = outputs(load(trip.output), given) - weights_only
    assert 0 < difference.norm() < 0.03 * weights_only.norm()


def _layer(columns: int, rows: int, scheme: Scheme = W8A8, bias: bool = True) -> QuantizedLinear:
    torch.manual_seed(5)
    layer = QuantizedLinear(columns, rows, scheme, bias=bias, scale_dtype="BF16", dtype=torch.float32)
    layer.weight_packed.data = torch.randint(0, 256, (rows, columns), dtype=torch.uint8)
    layer.weight_scale.data = torch.rand_like(layer.weight_scale) * 0.01 + 0.001
    if layer.bias is not None:
        layer.bias.data = torch.randn(rows)
    return layer


def test_int8_weights_of_any_width_are_written_without_gaps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(20, 45).bfloat16()
    source = write_checkpoint(tmp_path / "m", {"model.layers.0.mlp.up_proj.weight": weight})
    assert driving.quantize(source, tmp_path / "out", W8A8).verified
    stored = load_file(tmp_path / "out" / "model.safetensors")
    codes, scale = stored["model.layers.0.mlp.up_proj.weight"], stored["model.layers.0.mlp.up_proj.weight_scale"]
    assert codes.shape == (20, 45)
    assert (codes.float() * scale.float() - weight.float()).abs().max() <= scale.float().max()
