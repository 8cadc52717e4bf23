"""What cannot be loaded ends in one sentence that names the file or the tensor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from qtquant_app.core.errors import DeviceError, QtQuantError, SourceError, VerifyError
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.transformers import QuantizedLinear
from tests.end2end.round_trip import quantize
from tests.end2end.tiny_models import build, llama

MODULE = "model.layers.0.mlp.down_proj"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    recipe = Recipe(Scheme(4, group_size=32, symmetric=False), format="qtquant")
    return quantize(llama(), tmp_path_factory.mktemp("made"), recipe).output


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "out")


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def change_quantization(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    change_config(folder, quantization_config={**config, **changes})


def change_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replaces tensors of MODULE, and removes those that are None."""
    tensors = load_file(folder / "model.safetensors")
    tensors.update({f"{MODULE}.{name}": tensor for name, tensor in changes.items()})  # type: ignore[misc]
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def refusal(folder: Path, kind: type[QtQuantError]) -> str:
    with pytest.raises(kind) as caught:
        load(folder)
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    assert "nowhere is not a folder" in refusal(tmp_path / "nowhere", SourceError)


def test_a_folder_without_a_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "has no config.json" in refusal(folder, SourceError)


def test_a_float_checkpoint(tmp_path: Path) -> None:
    llama().save_pretrained(tmp_path)
    assert "is not quantized" in refusal(tmp_path, SourceError)


def test_a_checkpoint_of_another_format(tmp_path: Path) -> None:
    output = quantize(build("llama", torch.float32), tmp_path, Recipe(Scheme(4, group_size=32))).output
    assert "is a compressed-tensors checkpoint" in refusal(output, SourceError)


def test_a_newer_version(folder: Path) -> None:
    change_quantization(folder, version=2)
    assert "says version 2" in refusal(folder, SourceError)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schemes": [{"bits": 3}]}, "whose width the plain format does not pack"),
        ({"schemes": [{"bits": 99}]}, "has a malformed scheme: 99 bits"),
        ({"schemes": 4}, "needs a list of schemes"),
        ({"modules": {MODULE: 7}}, f"gives {MODULE} the scheme 7, and there are 1"),
        ({"modules": {MODULE: True}}, f"gives {MODULE} the scheme True"),
    ],
)
def test_a_quantization_config_that_contradicts_itself(folder: Path, change: dict[str, Any], sentence: str) -> None:
    change_quantization(folder, **change)
    assert sentence in refusal(folder, SourceError)


@pytest.mark.parametrize("name", ["weight_packed", "weight_scale", "weight_zero_point"])
def test_a_module_that_lacks_one_of_its_tensors(folder: Path, name: str) -> None:
    change_tensors(folder, **{name: None})
    assert f"the files hold no {MODULE}.{name}" in refusal(folder, VerifyError)


def test_a_module_that_the_config_forgets(folder: Path) -> None:
    modules = json.loads((folder / "config.json").read_text())["quantization_config"]["modules"]
    change_quantization(folder, modules={name: index for name, index in modules.items() if name != MODULE})
    sentence = refusal(folder, VerifyError)
    assert f"model.safetensors holds {MODULE}.weight_packed, though config.json does not say" in sentence


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("weight_packed", torch.zeros(64, 47, dtype=torch.uint8)),
        ("weight_packed", torch.zeros(63, 48, dtype=torch.uint8)),
        ("weight_packed", torch.zeros(64, 48, dtype=torch.int8)),
        ("weight_packed", torch.zeros(64 * 48, dtype=torch.uint8)),
        ("weight_scale", torch.zeros(64, 2)),
        ("weight_scale", torch.zeros(64, 3, dtype=torch.int32)),
        ("weight_zero_point", torch.zeros(64, 3, dtype=torch.int8)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}-{list(value.shape)}".removeprefix("torch."),
)
def test_a_tensor_of_the_wrong_shape_or_dtype(folder: Path, name: str, tensor: torch.Tensor) -> None:
    change_tensors(folder, **{name: tensor})
    assert f"{MODULE}.{name} is " in refusal(folder, VerifyError)


def test_a_truncated_file(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors says" in refusal(folder, SourceError)


def test_weights_that_are_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "cannot be read" in refusal(folder, SourceError)


def test_a_float_tensor_that_is_missing_is_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "holds no model.norm.weight, which the model needs" in refusal(folder, VerifyError)


def test_an_architecture_that_transformers_does_not_have(folder: Path) -> None:
    change_config(folder, architectures=["SomebodysModel"])
    assert "names the class 'SomebodysModel'" in refusal(folder, SourceError)


def test_a_name_in_transformers_that_is_no_model(folder: Path) -> None:
    change_config(folder, architectures=["pipeline"])
    assert "names the class 'pipeline'" in refusal(folder, SourceError)


def test_code_beside_the_weights_is_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('run')")
    change_config(
        folder, model_type="evil", architectures=None, auto_map={"AutoConfig": "evil.E", "AutoModel": "evil.E"}
    )
    assert "names a model of the type 'evil'" in refusal(folder, SourceError)


def test_code_for_an_architecture_that_transformers_has_is_not_run_either(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('run')")
    change_config(folder, architectures=None, auto_map={"AutoConfig": "evil.E", "AutoModel": "evil.E"})
    assert type(load(folder)) is transformers.LlamaModel


def test_a_config_that_fits_no_model(folder: Path) -> None:
    change_config(folder, hidden_size=60)
    assert "takes U8" in refusal(folder, VerifyError)
    change_config(folder, hidden_size="wide")
    assert "cannot build a model" in refusal(folder, VerifyError)


def test_a_device_that_is_not_here(folder: Path) -> None:
    absent = f"cuda:{torch.cuda.device_count() + 7}"
    with pytest.raises(DeviceError, match=absent):
        load(folder, device=absent)


def test_a_checkpoint_given_as_tensors_instead_of_files(folder: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    with pytest.raises(SourceError, match="is loaded from its files"):
        transformers.LlamaForCausalLM.from_pretrained(None, config=config, state_dict=tensors)


def test_a_key_mapping_of_the_users_own_is_followed(folder: Path) -> None:
    model = transformers.LlamaForCausalLM.from_pretrained(folder, key_mapping={r"mlp\.down_proj": "mlp.lost"})
    assert isinstance(model.model.layers[0].mlp.down_proj, QuantizedLinear)


def test_experts_that_transformers_would_lose(tmp_path: Path) -> None:
    output = quantize(
        build("mixtral", torch.float32), tmp_path, Recipe(Scheme(4, group_size=32), format="qtquant")
    ).output
    with pytest.raises(SourceError, match=r"transformers takes .*experts\.0\.w1\.weight_packed for .*lost"):
        transformers.MixtralForCausalLM.from_pretrained(output, key_mapping={"experts": "lost"})
