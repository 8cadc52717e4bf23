"""An explanation, followed step by step in plain numbers, ends at the code in the packed file and at what a reader decodes."""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import qtquant_app
from qtquant_app.core.explanation import Explanation
from qtquant_app.core.placement import Slot
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.explain import explain
from qtquant_app.engine.runtime.decode import dequantize
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.quant.affine import DTYPES
from qtquant_app.quant.chunk import as_float32
from tests.checkpoints import small_llama, write_checkpoint
from tests.driving import quantize, result
from tests.unit.quant.cases import bits_pattern, few_values, gaussian, outliers
from tests.unit.quant.test_scalar_reference import LOWEST_EXPONENT, parameters, quantized, rounded

MODULE = "model.layers.0.mlp.up_proj"
LAYER = f"{MODULE}.weight"
W8A8 = [Scheme(8, strategy=s, group_size=None, activations="int8") for s in ("channel", "tensor")]  # type: ignore[arg-type]


@st.composite
def schemes(draw: st.DrawFn, format: str) -> Scheme:
    """A scheme that the format takes, whatever the group size."""
    if format == "compressed-tensors" and draw(st.integers(0, 7)) == 0:
        return draw(st.sampled_from(W8A8))
    strategy: Any = draw(st.sampled_from(["tensor", "channel", "group"]))
    return Scheme(
        bits=draw(st.integers(2, 8) if format == "compressed-tensors" else st.sampled_from([2, 4, 8])),
        symmetric=draw(st.booleans()),
        strategy=strategy,
        group_size=draw(st.sampled_from([1, 7, 16, 31])) if strategy == "group" else None,
        method="rtn" if strategy == "tensor" else draw(st.sampled_from(["rtn", "mse"])),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, str, Scheme, str]:
    """(raw weights, dtype, scheme, format); columns odd, and no multiple of the groups where the format allows it."""
    dtype, format = draw(st.sampled_from(sorted(DTYPES))), draw(st.sampled_from(["compressed-tensors", "qtquant"]))
    scheme = draw(schemes(format))
    columns = draw(st.sampled_from([1, 9, 33, 45]))
    if format == "compressed-tensors" and scheme.group_size:
        columns = scheme.group_size * draw(st.sampled_from([1, 3]))
    make = draw(st.sampled_from([gaussian, few_values, outliers, bits_pattern]))
    raw = make(dtype, draw(st.integers(1, 20)), columns, draw(st.integers(0, 2**32)))
    raw[np.abs(as_float32(raw, dtype)) > (1e4 if dtype == "F16" else 1e30)] = 0
    raw[:, : draw(st.sampled_from([0, 0, 8]))] = 0
    return raw, dtype, scheme, format


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.data())
def test_every_step_leads_to_the_code_in_the_file_and_to_what_a_reader_decodes(
    case: tuple[np.ndarray, str, Scheme, str], data: st.DataObject
) -> None:
    raw, dtype, scheme, format = case
    rows, columns = raw.shape
    with tempfile.TemporaryDirectory() as place:
        source = write_checkpoint(Path(place) / "source", {LAYER: as_torch(raw, dtype)})
        quantize(source, Path(place) / "out", scheme, format)
        stored, weights = tensors(Path(place) / "out"), decoded(Path(place) / "out", scheme, format, dtype, columns)
        checkpoint = open_checkpoint(source)
        for _ in range(4):
            row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
            it = result(explain(checkpoint, LAYER, scheme, (row, row + 1), (column, column + 1), format=format))
            assert (it.row, it.column, it.format) == (row, column, format)
            follow(it, as_float32(raw, dtype), dtype)
            check_places(it, stored)
            assert it.decoded.value == float(weights[row, column])


def follow(it: Explanation, weights: np.ndarray, dtype: str) -> None:
    """Each number of the explanation from those before it, in fractions and Python's floats."""
    scheme, weight = it.scheme, float(weights[it.row, it.column])
    first, end = it.group
    group = (weights if scheme.strategy == "tensor" else weights[it.row, first:end]).reshape(-1).tolist()
    assert it.stored.value == it.weight == weight == value_of(it.stored.pattern, dtype)
    assert (it.lo, it.hi) == (min(group), max(group))
    assert (it.low, it.high) == (min(0.0, *group) * it.factor, max(0.0, *group) * it.factor)
    span = max(-it.low, it.high) / (it.top / 2) if scheme.symmetric else (it.high - it.low) / it.top
    assert it.exact_scale == span and it.single_scale == rounded(span, "F32")
    nearest = rounded(it.single_scale, dtype)
    case = "empty" if not any(group) else "" if nearest else "underflow"
    scale = {"": nearest, "empty": 1.0, "underflow": 2.0 ** LOWEST_EXPONENT[dtype]}[case]
    assert (it.case, it.scale.value, value_of(it.scale.pattern, dtype)) == (case, scale, scale)
    if it.exact_zero is not None:
        assert it.exact_zero == -it.low / scale and it.zero == min(max(round(it.exact_zero), 0), it.top)
    assert it.steps == rounded(Fraction(weight) / Fraction(scale), "F32") and it.nearest == round(it.steps)
    assert it.code == min(max(it.nearest + it.zero, 0), it.top)
    assert it.restored == rounded((it.code - it.zero) * Fraction(scale), "F32")
    assert it.error == rounded(Fraction(weight) - Fraction(it.restored), "F32")
    assert it.decoded.value == rounded(it.restored, dtype) == value_of(it.decoded.pattern, dtype)
    if scheme.method == "mse" and len(group) <= 20:  # all forty factors again, in fractions
        at = it.column - first
        best_scale, best_zero, codes, _ = quantized(group, scheme, dtype)
        assert (it.scale.value, it.zero, it.code) == (best_scale, best_zero, codes[at])
    assert parameters(group, scheme.bits, scheme.symmetric, dtype, it.factor) == (it.scale.value, it.zero)


def check_places(it: Explanation, stored: dict[str, torch.Tensor]) -> None:
    """What the explanation says lies in the file does lie there."""
    assert patterns(it.placement.code, stored) == it.elements
    assert it.placement.code.read(it.elements) == it.code
    assert it.placement.scale.read(patterns(it.placement.scale, stored)) == it.scale.pattern
    assert (it.placement.zero is None) == it.scheme.symmetric
    if it.placement.zero is not None:
        assert it.placement.zero.read(patterns(it.placement.zero, stored)) == it.zero
    lit = [word.field_text(field) for word in reversed(it.code_words) for field in word.fields if field.lit]
    assert int("".join(lit), 2) == (it.code - it.placement.code.less) % it.scheme.levels
    for word in (it.weight_word, it.scale_word, *it.code_words):
        assert sum(field.width for field in word.fields) == word.bits
        assert word.text.replace(" ", "").replace("[", "").replace("]", "") == f"{word.pattern:0{word.bits}b}"


def patterns(slot: Slot, stored: dict[str, torch.Tensor]) -> tuple[int, ...]:
    """The elements of a place as the safetensors library reads them."""
    tensor = stored[slot.tensor]
    assert tensor.element_size() * 8 == slot.element_bits
    found = (tensor[index].reshape(1).view(torch.uint8).tolist() for index in slot.elements)
    return tuple(int.from_bytes(bytes(data), "little") for data in found)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def decoded(folder: Path, scheme: Scheme, format: str, dtype: str, columns: int) -> torch.Tensor:
    """The weights as the format's own reader has them."""
    stored = {name.removeprefix(f"{MODULE}."): tensor for name, tensor in tensors(folder).items()}
    if format == "qtquant":
        parts = stored["weight_packed"], stored["weight_scale"], stored.get("weight_zero_point")
        return dequantize(*parts, scheme, columns, DTYPES[dtype])
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    group = QuantizationConfig.model_validate(config).config_groups["group_0"]
    compressor = BaseCompressor.get_value_from_registry(config["config_groups"]["group_0"]["format"])
    return compressor.decompress(stored, group)["weight"]


def as_torch(raw: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.from_numpy(raw.view(np.int16)).view(torch.bfloat16) if dtype == "BF16" else torch.from_numpy(raw)


def value_of(pattern: int, dtype: str) -> float:
    """The number that bits stand for, by the definition of a binary float."""
    exponent_bits, mantissa_bits = {"F32": (8, 23), "F16": (5, 10), "BF16": (8, 7)}[dtype]
    mantissa, rest = pattern % (1 << mantissa_bits), pattern >> mantissa_bits
    exponent, sign = rest % (1 << exponent_bits), rest >> exponent_bits
    bias = (1 << (exponent_bits - 1)) - 1
    whole = (1 << mantissa_bits) + mantissa if exponent else mantissa
    return float((-1) ** sign * whole * Fraction(2) ** (max(exponent, 1) - bias - mantissa_bits))


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(4, group_size=24, symmetric=False, method="mse"),
        Scheme(2, strategy="tensor", group_size=None),
        Scheme(8, strategy="channel", group_size=None, activations="int8"),
    ],
    ids=lambda scheme: scheme.label,
)
def test_a_loaded_model_of_the_plain_format_has_the_weights_explained(tmp_path: Path, scheme: Scheme) -> None:
    source = small_llama(tmp_path / "source")
    quantize(source, tmp_path / "out", scheme, "qtquant")
    model, checkpoint = qtquant_app.load(tmp_path / "out"), open_checkpoint(source)
    for row, column in ((0, 0), (17, 63), (31, 48), (5, 23)):
        for module in ("model.layers.1.self_attn.k_proj", MODULE):
            it = result(explain(checkpoint, module, scheme, (row, row + 1), (column, column + 1), format="qtquant"))
            assert model.get_submodule(module).weight[row, column].item() == it.decoded.value
            assert it.format == "qtquant"
