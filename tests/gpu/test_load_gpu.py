"""The plain format on a CUDA device: the same weights, exact integers, and nothing left behind on the host."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.engine.runtime import int8, linear
from qtquant_app.transformers import QuantizedLinear
from tests.end2end.round_trip import assert_alike, quantize
from tests.end2end.tiny_models import build, inputs, outputs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SCHEMES = [
    Scheme(2, group_size=16, symmetric=False),
    Scheme(4, group_size=32),
    Scheme(4, group_size=20, symmetric=False),
    Scheme(8, strategy="channel", group_size=None),
    Scheme(8, strategy="tensor", group_size=None),
]
W8A8 = Scheme(8, strategy="channel", group_size=None, activations="int8")


def random_layer(columns: int, rows: int, scheme: Scheme, bias: bool = True) -> QuantizedLinear:
    torch.manual_seed(4)
    layer = QuantizedLinear(columns, rows, scheme, bias=bias, scale_dtype="BF16", dtype=torch.bfloat16)
    for name, parameter in layer.named_parameters():
        if parameter.dtype == torch.uint8:
            levels = 256 if name == "weight_packed" else scheme.levels
            parameter.data = torch.randint(0, levels, parameter.shape, dtype=torch.uint8)
        else:
            parameter.data = torch.rand_like(parameter) * 0.01 + 0.001
    return layer


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.label.replace(" ", "-"))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_device_decodes_the_same_bits_as_the_processor(scheme: Scheme, dtype: torch.dtype) -> None:
    layer = random_layer(100, 48, scheme)
    expected = layer.dequantize(dtype)
    assert torch.equal(layer.cuda().dequantize(dtype).cpu(), expected)


@pytest.mark.parametrize(
    ("tokens", "columns", "rows"),
    [(1, 64, 64), (16, 96, 8), (17, 8, 8), (33, 100, 70), (5, 7, 3), (40, 4096, 512), (64, 14336, 24)],
)
def test_tensor_cores_sum_the_integers_exactly(tokens: int, columns: int, rows: int) -> None:
    random = torch.Generator().manual_seed(columns)
    a = torch.randint(-127, 128, (tokens, columns), generator=random).to(torch.int8)
    b = torch.randint(-128, 128, (rows, columns), generator=random).to(torch.int8)
    product = int8.matmul(a.cuda(), b.cuda())
    assert product.dtype == torch.int32 and torch.equal(product.cpu().long(), a.long() @ b.long().t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_w8a8_layer_agrees_with_the_processor(dtype: torch.dtype) -> None:
    layer, x = random_layer(1500, 70, W8A8), torch.randn(2, 5, 1500).to(dtype)
    expected = layer(x)
    made = layer.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(made, expected, rtol=1e-6 if dtype == torch.float32 else 2**-7, atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "mixtral", "bert", "vit", "whisper", "clip"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_a_loaded_model_computes_what_its_dequantized_weights_compute(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    trip = quantize(build(kind, dtype), tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    given = {name: value.cuda() for name, value in inputs(kind, dtype).items()}
    model = load(trip.output, device="cuda")
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}
    expected = outputs(trip.reference(type(build(kind, dtype)), dtype).cuda(), given)
    assert_alike(outputs(model, given), expected, dtype)


def test_w8a8_runs_a_whole_model(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.bfloat16), tmp_path, Recipe(W8A8, format="qtquant"))
    given = inputs("llama", torch.bfloat16)
    expected = outputs(load(trip.output), given)
    made = outputs(load(trip.output, device="cuda"), {n: v.cuda() for n, v in given.items()}).cpu()
    assert (made - expected).norm() < 0.02 * expected.norm()


def test_a_forward_pass_holds_one_chunk_of_float_weights_at_a_time() -> None:
    columns, rows = 8192, 16384
    layer = random_layer(columns, rows, Scheme(4, group_size=128), bias=False).cuda()
    x = torch.randn(1, columns, device="cuda", dtype=torch.bfloat16)
    layer(x)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    layer(x)
    torch.cuda.synchronize()
    assert torch.cuda.max_memory_allocated() - before < 8 * linear._CHUNK_WEIGHTS < 2 * columns * rows
    assert torch.cuda.memory_allocated() <= before


def test_a_model_with_gradients_elsewhere_keeps_no_float_weights(tmp_path: Path) -> None:
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    model = load(trip.output, device="cuda")
    model(**{n: v.cuda() for n, v in inputs("llama", torch.float32).items()}).logits.sum().backward()
    assert model.model.embed_tokens.weight.grad is not None


def test_automatic_placement_puts_packed_layers_on_the_device(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    trip = quantize(build("llama", torch.bfloat16), tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant"))
    model = transformers.AutoModelForCausalLM.from_pretrained(trip.output, device_map="auto")
    given = {name: value.cuda() for name, value in inputs("llama", torch.bfloat16).items()}
    assert_alike(outputs(model, given), outputs(load(trip.output, device="cuda"), given), torch.bfloat16)
