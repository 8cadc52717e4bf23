"""QuantizedLinear by itself: what it keeps, what it gives, and what it never holds on to."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.runtime import decode, linear
from qtquant_app.quant.packing import pack_uint8
from qtquant_app.transformers import QuantizedLinear

COLUMNS, ROWS = 80, 24
SCHEMES = [
    Scheme(2, group_size=32, symmetric=False),
    Scheme(4, group_size=16),
    Scheme(8, strategy="channel", group_size=None),
    Scheme(8, strategy="tensor", group_size=None, symmetric=False),
]


def layer_of(scheme: Scheme, bias: bool = True, scale_dtype: str = "F32") -> QuantizedLinear:
    torch.manual_seed(2)
    layer = QuantizedLinear(COLUMNS, ROWS, scheme, bias=bias, scale_dtype=scale_dtype, dtype=torch.float32)
    for name, parameter in layer.named_parameters():
        if name == "weight_packed":
            parameter.data = torch.randint(0, 256, parameter.shape, dtype=torch.uint8)
        elif name == "weight_zero_point":
            parameter.data = torch.randint(0, scheme.levels, parameter.shape, dtype=torch.uint8)
        else:
            parameter.data = torch.randn_like(parameter)
    return layer


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label.replace(" ", "-"))
def test_forward_is_the_float_layer_of_the_dequantized_weight(scheme: Scheme) -> None:
    layer, x = layer_of(scheme), torch.randn(3, 5, COLUMNS)
    torch.testing.assert_close(layer(x), functional.linear(x, layer.dequantize(), layer.bias))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label.replace(" ", "-"))
def test_a_large_layer_is_worked_off_in_chunks_of_rows(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = layer_of(scheme), torch.randn(2, COLUMNS)
    whole = layer(x)
    monkeypatch.setattr(linear, "_CHUNK_WEIGHTS", 5 * COLUMNS)
    torch.testing.assert_close(layer(x), whole)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("columns", [1, 7, 64, 83])
def test_codes_are_unpacked_as_they_were_packed(bits: int, columns: int) -> None:
    codes = torch.randint(0, 1 << bits, (5, columns), dtype=torch.uint8)
    assert torch.equal(decode.unpack(pack_uint8(codes, bits), bits, columns), codes)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_the_float32_ones_rounded_once(half: torch.dtype) -> None:
    for name, scale_dtype in (("BF16", torch.bfloat16), ("F16", torch.float16), ("F32", torch.float32)):
        layer = layer_of(SCHEMES[0], scale_dtype=name)
        layer.weight_scale.data = layer.weight_scale.data.to(scale_dtype)
        assert torch.equal(layer.dequantize(half), layer.dequantize(torch.float32).to(half))


def test_gradients_are_those_of_the_float_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_CHUNK_WEIGHTS", 7 * COLUMNS)
    layer = layer_of(SCHEMES[1]).double()
    x = torch.randn(2, 3, COLUMNS, dtype=torch.float64, requires_grad=True)
    float_layer, y = layer.to_linear(torch.float64).requires_grad_(True), x.detach().clone().requires_grad_(True)
    layer(x).square().sum().backward()
    float_layer(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(layer.bias.grad, float_layer.bias.grad)
    assert layer.weight_scale.grad is None


def test_no_graph_keeps_the_float_weight_alive() -> None:
    kept: list[torch.Size] = []
    x = torch.randn(2, COLUMNS, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda _: torch.empty(0)):
        assert layer_of(SCHEMES[1])(x).requires_grad
        assert kept == []
        assert layer_of(SCHEMES[1]).to_linear()(x).requires_grad
        assert torch.Size((ROWS, COLUMNS)) in kept or torch.Size((COLUMNS, ROWS)) in kept


def test_the_weight_is_there_for_code_that_reaches_past_forward() -> None:
    layer = layer_of(SCHEMES[1])
    assert torch.equal(layer.weight, layer.dequantize()) and layer.weight is not layer.weight
    assert layer.to(torch.bfloat16).weight.dtype == torch.bfloat16


def test_moving_to_another_dtype_leaves_codes_and_scales_as_they_are() -> None:
    layer = layer_of(SCHEMES[0])
    moved = copy.deepcopy(layer).to(torch.float16)
    for name in ("weight_packed", "weight_scale", "weight_zero_point"):
        assert torch.equal(getattr(moved, name), getattr(layer, name))
        assert getattr(moved, name).dtype == getattr(layer, name).dtype
    assert moved.bias.dtype == moved.dtype == torch.float16


def test_the_state_dict_round_trips() -> None:
    layer = layer_of(SCHEMES[0])
    fresh = QuantizedLinear(COLUMNS, ROWS, SCHEMES[0], bias=True, scale_dtype="F32", dtype=torch.float32, device="meta")
    fresh = fresh.to_empty(device="cpu")
    fresh.load_state_dict(layer.state_dict())
    x = torch.randn(2, COLUMNS)
    assert torch.equal(fresh(x), layer(x))


def test_it_says_what_it_is() -> None:
    layer = layer_of(SCHEMES[1], bias=False)
    assert repr(layer) == f"QuantizedLinear(in_features={COLUMNS}, out_features={ROWS}, bias=False, scheme=W4 g16 sym)"
    assert [name for name, _ in layer.named_parameters()] == ["weight_packed", "weight_scale"]


def test_autocast_computes_in_its_own_dtype() -> None:
    layer, x = layer_of(SCHEMES[2]), torch.randn(2, COLUMNS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
