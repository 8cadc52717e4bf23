"""A loaded model can be saved again, or says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from qtquant_app.core.errors import UsageError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.transformers import QuantizedLinear
from tests.end2end.round_trip import Trip, assert_alike, quantize
from tests.end2end.tiny_models import build, inputs, outputs

MIXED = Recipe(Scheme(4, group_size=32, symmetric=False), (Rule("*.fc2", Scheme(2, group_size=16)),), format="qtquant")
GROUP_32 = Recipe(Scheme(4, group_size=32), format="qtquant")


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())["quantization_config"]


@pytest.mark.parametrize("kind", ["bert", "vit", "whisper", "clip", "llava"])
def test_saving_a_loaded_model_writes_the_same_tensors_again(kind: str, tmp_path: Path) -> None:
    recipe = MIXED if kind in ("whisper", "clip") else GROUP_32
    trip = quantize(build(kind, torch.bfloat16), tmp_path, recipe)
    load(trip.output).save_pretrained(tmp_path / "again")
    again = Trip(trip.source, tmp_path / "again", trip.plan)
    first, second = trip.stored(), again.stored()
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert config_of(again.output)["modules"].keys() == config_of(trip.output)["modules"].keys()
    given = inputs(kind, torch.bfloat16)
    assert_alike(outputs(load(again.output), given), outputs(load(trip.output), given), torch.bfloat16)


def test_a_model_of_another_class_is_saved_under_its_own_names(tmp_path: Path) -> None:
    trip = quantize(transformers.BertModel(build("bert", torch.float32).config), tmp_path, GROUP_32)
    import_names = config_of(trip.output)["modules"]
    headed = transformers.AutoModelForMaskedLM.from_pretrained(trip.output)
    headed.save_pretrained(tmp_path / "headed")
    names = config_of(tmp_path / "headed")["modules"]
    assert all(name.startswith("bert.") for name in names) and not any(n.startswith("bert.") for n in import_names)
    given = inputs("bert", torch.float32)
    assert_alike(outputs(load(tmp_path / "headed"), given), outputs(headed, given))


def test_a_model_with_dequantized_experts_is_not_saved_as_if_it_were_packed(tmp_path: Path) -> None:
    model = load(quantize(build("mixtral", torch.float32), tmp_path, GROUP_32).output)
    with pytest.raises(UsageError, match=r"experts\.gate_up_proj was dequantized while loading") as refused:
        model.save_pretrained(tmp_path / "again")
    assert "dequantize()" in refused.value.hint and not (tmp_path / "again").exists()


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe", "bert"])
def test_a_dequantized_model_is_saved_in_float(kind: str, tmp_path: Path) -> None:
    model = load(quantize(build(kind, torch.float32), tmp_path, GROUP_32).output)
    given, model_class = inputs(kind, torch.float32), type(build(kind, torch.float32))
    expected = outputs(model, given)
    model.dequantize().save_pretrained(tmp_path / "float")
    assert not any(isinstance(module, QuantizedLinear) for module in model.modules())
    assert "quantization_config" not in json.loads((tmp_path / "float" / "config.json").read_text())
    assert_alike(outputs(model_class.from_pretrained(tmp_path / "float"), given), expected)
