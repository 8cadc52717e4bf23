"""GPTQ, AWQ and MLX: what they refuse, what they tell their readers, and whole runs that are verified, resumed and read back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.explain import explain
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.formats import find
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, small_llama, write_checkpoint
from tests.driving import result, weight_bytes

W4 = Scheme(4, group_size=32)
A4 = Scheme(4, group_size=32, symmetric=False)
W8 = Scheme(8, group_size=32)
CASES = [
    *(Recipe(scheme, format="gptq") for scheme in (W4, A4, W8, Scheme(3, group_size=32), Scheme(2, group_size=64))),
    Recipe(Scheme(4, strategy="channel", group_size=None), format="gptq"),
    *(Recipe(scheme, format="awq") for scheme in (W4, A4, Scheme(4, group_size=64, method="mse"))),
    *(Recipe(scheme, format="mlx") for scheme in (W4, A4, Scheme(3, group_size=64, symmetric=False), W8)),
    Recipe(A4, (Rule("*.down_proj", Scheme(6, group_size=64, symmetric=False, method="mse")),), ("*.o_proj",), "mlx"),
    Recipe(W4, (Rule("*.down_proj", W8),), ("*.o_proj",), "gptq"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("source") / "m", shards=2)


def config_of(source: Path, recipe: Recipe) -> dict[str, Any]:
    plan = make_plan(open_checkpoint(source), recipe, device="cpu")
    config: dict[str, Any] = json.loads(plan.texts["config.json"])
    return config


def label(value: object) -> str:
    return f"{value.format}-{value.default.label.replace(' ', '-')}" if isinstance(value, Recipe) else ""


@pytest.mark.parametrize("recipe", CASES, ids=label)
def test_a_run_is_verified_and_a_stopped_one_ends_in_the_same_bytes(
    recipe: Recipe, source: Path, tmp_path: Path
) -> None:
    plan = make_plan(open_checkpoint(source), recipe, device="cpu")
    report = result(run(plan, RunOptions(str(tmp_path / "whole"), threads=2)))
    assert report.verified
    for stop in (3, 25, 60):
        work = run(plan, RunOptions(str(tmp_path / "stopped"), threads=2, resume=True))
        for _, _ in zip(range(stop), work, strict=False):
            pass
        work.close()
        if (tmp_path / "stopped").exists():
            break
    if not (tmp_path / "stopped").exists():
        result(run(plan, RunOptions(str(tmp_path / "stopped"), threads=1, resume=True)))
    assert weight_bytes(tmp_path / "stopped") == weight_bytes(tmp_path / "whole")


@pytest.mark.parametrize(
    ("format", "shape", "scheme", "why"),
    [
        ("gptq", (64, 64), Scheme(5, group_size=32), "2, 3, 4 or 8 bits"),
        ("gptq", (64, 64), Scheme(4, strategy="tensor", group_size=None), "per tensor"),
        ("gptq", (64, 64), Scheme(8, strategy="channel", group_size=None, activations="int8"), "activations"),
        ("gptq", (64, 96), Scheme(4, group_size=64), "does not divide"),
        ("gptq", (60, 64), W4, "60 rows"),
        ("gptq", (48, 64), Scheme(3, group_size=32), "48 rows"),
        ("gptq", (64, 16), Scheme(3, group_size=16), "16 columns"),
        ("gptq", (64, 64), replace(A4, offset="float"), "float offsets"),
        ("gptq", (64, 256), Scheme.of_layout("Q4_K"), "GGUF"),
        ("awq", (64, 64), W8, "packs 4 bits"),
        ("awq", (60, 64), W4, "eights"),
        ("awq", (64, 96), Scheme(4, group_size=64), "does not divide"),
        ("mlx", (64, 64), Scheme(7, group_size=32), "not 7"),
        ("mlx", (64, 64), Scheme(4, strategy="channel", group_size=None), "32, 64 or 128"),
        ("mlx", (64, 96), Scheme(4, group_size=64), "does not divide"),
        ("mlx", (64, 64), Scheme.from_json({"type": "float", "bits": 8}), "floating-point"),
    ],
)
def test_what_a_format_cannot_say_is_refused(format: str, shape: tuple[int, int], scheme: Scheme, why: str) -> None:
    assert why in find(format).refuses(TensorInfo("m.weight", "BF16", shape, "f", 0, 0), scheme)


def test_schemes_that_one_config_cannot_serve_are_refused_by_name(source: Path) -> None:
    for recipe in (
        Recipe(W4, (Rule("*.0.mlp.up_proj", A4),), format="gptq"),
        Recipe(W4, (Rule("*.0.mlp.up_proj", Scheme(4, group_size=64)),), format="awq"),
    ):
        with pytest.raises(PlanError) as caught:
            make_plan(open_checkpoint(source), recipe, device="cpu")
        assert "model.layers.0.mlp.up_proj.weight" in caught.value.message and caught.value.code == "mixture"


def test_gptq_tells_its_version_and_a_copy_lies_beside_the_config(source: Path) -> None:
    plan = make_plan(open_checkpoint(source), Recipe(W4, format="gptq"), device="cpu")
    config = json.loads(plan.texts["config.json"])["quantization_config"]
    assert json.loads(plan.texts["quantize_config.json"]) == config
    assert (config["bits"], config["group_size"], config["sym"], config["checkpoint_format"]) == (4, 32, True, "gptq")
    assert config["desc_act"] is False and config["lm_head"] is False
    asymmetric = config_of(source, Recipe(A4, format="gptq"))["quantization_config"]
    assert (asymmetric["sym"], asymmetric["checkpoint_format"]) == (False, "gptq_v2")
    channel = Scheme(4, strategy="channel", group_size=None)
    assert config_of(source, Recipe(channel, format="gptq"))["quantization_config"]["group_size"] == -1


def test_gptq_patterns_match_exactly_the_modules_that_differ(source: Path) -> None:
    rules = (Rule("*.1.self_attn.*", W8), Rule("*.0.mlp.down_proj", "keep"))
    config = config_of(source, Recipe(W4, rules, ("*.1.mlp.gate_proj",), "gptq"))["quantization_config"]
    modules = [t.module for t in open_checkpoint(source).quantizable if "layers" in t.module]
    positive, negative = set(), set()
    for pattern, said in config["dynamic"].items():
        matched = {module for module in modules if re.match(pattern[2:], module)}
        assert said == ({} if pattern.startswith("-:") else {"bits": 8, "group_size": 32})
        (negative if pattern.startswith("-:") else positive).update(matched)
    assert positive == {module for module in modules if ".1.self_attn." in module}
    assert negative == {"model.layers.0.mlp.down_proj", "model.layers.1.mlp.gate_proj"}
    fused = [pattern for pattern in config["dynamic"] if re.match(pattern[2:], "model.layers.1.self_attn.qkv_proj")]
    assert len(fused) == 1, "vLLM knows layers that it fuses by the fused name alone"
    assert not any(re.match(pattern[2:], "model.layers.1.mlp.gate_up_proj") for pattern in config["dynamic"])


def test_a_quantized_head_is_told_and_a_kept_one_is_named(source: Path) -> None:
    head = (Rule("lm_head", W4),)
    assert config_of(source, Recipe(W4, head, format="gptq"))["quantization_config"]["lm_head"] is True
    kept = config_of(source, Recipe(A4, (), ("*.q_proj",), "awq"))["quantization_config"]
    assert kept["zero_point"] is True and kept["version"] == "gemm"
    assert set(kept["modules_to_not_convert"]) == {
        "lm_head",
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
    }
    assert (
        "lm_head"
        not in config_of(source, Recipe(W4, head, format="awq"))["quantization_config"]["modules_to_not_convert"]
    )


def test_mlx_tells_what_each_module_has(source: Path) -> None:
    recipe = Recipe(A4, (Rule("*.down_proj", Scheme(6, group_size=64)),), ("*.o_proj",), "mlx")
    config = config_of(source, recipe)
    said = config["quantization"]
    assert config["quantization_config"] == said
    assert (said["bits"], said["group_size"], said["mode"]) == (4, 32, "affine")
    assert said["model.layers.1.mlp.down_proj"] == {"bits": 6, "group_size": 64, "mode": "affine"}
    for kept in ("model.layers.0.self_attn.o_proj", "model.embed_tokens", "lm_head"):
        assert said[kept] is False
    assert "model.layers.1.mlp.up_proj" not in said


def test_mlx_quantizes_embeddings_that_a_rule_names(source: Path, tmp_path: Path) -> None:
    recipe = Recipe(W4, (Rule("model.embed_tokens", W8),), format="mlx")
    plan = make_plan(open_checkpoint(source), recipe, device="cpu")
    assert result(run(plan, RunOptions(str(tmp_path / "out")))).verified
    stored = {name for file in plan.files for name in (tensor.name for tensor in file.tensors)}
    assert {"model.embed_tokens.weight", "model.embed_tokens.scales", "model.embed_tokens.biases"} <= stored


def test_mlx_gets_the_words_for_rotary_embeddings_that_it_reads(tmp_path: Path) -> None:
    rope: dict[str, object] = {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0}
    plain = {"rope_theta": 1e5, "rope_type": "default"}
    for said, gained in ((rope, {"rope_theta": 5e5, "rope_scaling": rope}), (plain, {"rope_theta": 1e5})):
        folder = write_checkpoint(tmp_path / str(len(said)), llama_tensors(), {**LLAMA_CONFIG, "rope_parameters": said})
        config = config_of(folder, Recipe(W4, format="mlx"))
        assert {key: config[key] for key in ("rope_theta", "rope_scaling") if key in config} == gained
        assert "rope_theta" not in config_of(folder, Recipe(W4, format="gptq"))


def test_mlx_files_say_whose_they_are(source: Path, tmp_path: Path) -> None:
    plan = make_plan(open_checkpoint(source), Recipe(W4, format="mlx"), device="cpu")
    result(run(plan, RunOptions(str(tmp_path / "out"))))
    for file in plan.files:
        with (tmp_path / "out" / file.name).open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        assert header["__metadata__"] == {"format": "mlx"}
    weights = load_file(tmp_path / "out" / plan.files[0].name)
    assert {str(tensor.dtype) for name, tensor in weights.items() if name.endswith("_proj.weight")} == {"torch.uint32"}


@pytest.mark.parametrize("format", ["gptq", "awq", "mlx"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_an_explained_weight_lies_where_the_file_has_it(
    format: str, symmetric: bool, source: Path, tmp_path: Path
) -> None:
    scheme = replace(W4, symmetric=symmetric)
    plan = make_plan(open_checkpoint(source), Recipe(scheme, format=format), device="cpu")
    result(run(plan, RunOptions(str(tmp_path / "out"))))
    if format == "mlx" and not symmetric:
        return  # float offsets have no zero point to explain
    stored: dict[str, torch.Tensor] = {}
    for file in plan.files:
        stored |= load_file(tmp_path / "out" / file.name)
    work = explain(open_checkpoint(source), "model.layers.0.mlp.up_proj", scheme, (13, 14), (37, 38), format=format)
    found = result(work)
    for slot, number in ((found.placement.code, found.code), (found.placement.zero, found.zero)):
        if slot is not None:
            patterns = [int(stored[slot.tensor][index].item()) % (1 << slot.element_bits) for index in slot.elements]
            assert slot.read(patterns) == number
    assert np.isclose(stored[found.placement.scale.tensor][found.placement.scale.elements[0]].item(), found.scale.value)
    assert [stored[found.placement.code.tensor][i].item() % 2**32 for i in found.placement.code.elements] == list(
        found.elements
    )


def expert_tensors() -> dict[str, torch.Tensor]:
    """Attention and three experts of one block, named as Qwen3-MoE's."""
    random = torch.Generator().manual_seed(2)
    tensors = {name: tensor for name, tensor in llama_tensors(1).items() if ".mlp." not in name}
    for expert in range(3):
        for leaf, shape in (("gate_proj", (128, 64)), ("up_proj", (128, 64)), ("down_proj", (64, 128))):
            name = f"model.layers.0.mlp.experts.{expert}.{leaf}.weight"
            tensors[name] = torch.randn(shape, generator=random).bfloat16()
    return tensors


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experts") / "m"
    config = {**LLAMA_CONFIG, "num_hidden_layers": 1, "num_local_experts": 3}
    return write_checkpoint(folder, expert_tensors(), config, shards=3)


def test_mlx_writes_the_experts_of_a_layer_as_one_whatever_shards_they_come_from(experts: Path, tmp_path: Path) -> None:
    plan = make_plan(open_checkpoint(experts), Recipe(A4, format="mlx"), device="cpu")
    assert result(run(plan, RunOptions(str(tmp_path / "out")))).verified
    stored: dict[str, torch.Tensor] = {}
    for file in plan.files:
        stored |= load_file(tmp_path / "out" / file.name)
    assert json.loads(plan.texts["config.json"])["num_experts"] == 3
    assert not any(".experts." in name for name in stored)
    for leaf, (rows, columns) in {"gate_proj": (128, 64), "down_proj": (64, 128)}.items():
        name = f"model.layers.0.mlp.switch_mlp.{leaf}"
        words, scale, bias = (stored[f"{name}.{part}"] for part in ("weight", "scales", "biases"))
        assert words.shape == (3, rows, columns // 8) and scale.shape == bias.shape == (3, rows, columns // 32)
        shifts = torch.arange(8) * 4
        codes = (words.view(torch.int32).long()[..., None] >> shifts & 15).reshape(3, rows, columns)
        restored = codes * scale.double().repeat_interleave(32, 2) + bias.double().repeat_interleave(32, 2)
        for expert in range(3):
            weight = expert_tensors()[f"model.layers.0.mlp.experts.{expert}.{leaf}.weight"].double()
            assert (restored[expert] - weight).norm() < 0.1 * weight.norm()


def test_mlx_refuses_experts_that_it_could_not_put_together(experts: Path) -> None:
    for rule in (Rule("*.experts.1.up_proj", W8), Rule("*.experts.2.*", "keep"), Rule("*.experts.*.up_proj", "keep")):
        with pytest.raises(PlanError) as caught:
            make_plan(open_checkpoint(experts), Recipe(W4, (rule,), format="mlx"), device="cpu")
        assert caught.value.code == "mixture" and ".experts." in caught.value.message
    whole = Recipe(W4, (Rule("*.experts.*.up_proj", W8),), format="mlx")
    config = config_of(experts, whole)["quantization"]
    assert config["model.layers.0.mlp.switch_mlp.up_proj"]["bits"] == 8


@pytest.mark.parametrize("format", ["gptq", "awq"])
def test_gptq_and_awq_keep_each_expert_by_itself(format: str, experts: Path, tmp_path: Path) -> None:
    plan = make_plan(open_checkpoint(experts), Recipe(W4, format=format), device="cpu")
    assert result(run(plan, RunOptions(str(tmp_path / "out")))).verified
    names = {tensor.name for file in plan.files for tensor in file.tensors}
    assert "model.layers.0.mlp.experts.2.up_proj.qweight" in names
