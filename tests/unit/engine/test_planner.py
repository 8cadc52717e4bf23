"""Plans: what each tensor gets and why, and everything that is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, small_llama, write_checkpoint

G32 = Scheme(group_size=32)
W8 = Scheme(bits=8, strategy="channel", group_size=None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "m")


def _plan(source: Path, *rules: Rule, ignore: tuple[str, ...] = (), default: Scheme = G32) -> Plan:
    return make_plan(open_checkpoint(source), Recipe(default, rules, ignore), device="cpu")


def _refused(source: Path, *rules: Rule, ignore: tuple[str, ...] = (), default: Scheme = G32) -> PlanError:
    with pytest.raises(PlanError) as caught:
        _plan(source, *rules, ignore=ignore, default=default)
    assert caught.value.hint and caught.value.exit_status == 2
    return caught.value


def test_linear_layers_get_the_default_and_everything_else_is_kept_with_a_reason(source: Path) -> None:
    plan = _plan(source)
    by_name = {tensor.name: tensor for tensor in plan.tensors}
    assert by_name["model.layers.0.mlp.up_proj.weight"].scheme == G32
    for name in ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"):
        assert by_name[name].action == "keep" and by_name[name].reason
    assert sum(file.nbytes for file in plan.files) + len(plan.texts["config.json"].encode()) == plan.output_bytes


def test_the_first_matching_rule_wins_and_ignore_comes_before_rules(source: Path) -> None:
    plan = _plan(
        source,
        Rule("*.down_proj", W8),
        Rule("model.layers.1.*", "keep"),
        Rule("lm_head", W8),
        ignore=("*.layers.0.self_attn.*",),
    )
    schemes = {tensor.module: tensor.scheme for tensor in plan.tensors}
    assert schemes["model.layers.1.mlp.down_proj"] == W8
    assert schemes["model.layers.1.mlp.up_proj"] is None
    assert schemes["model.layers.0.self_attn.q_proj"] is None
    assert schemes["model.layers.0.mlp.up_proj"] == G32
    assert schemes["lm_head"] == W8
    assert [(rule.pattern, rule.matches) for rule in plan.rules] == [
        ("*.down_proj", 2),
        ("model.layers.1.*", 6),
        ("lm_head", 1),
    ]
    assert plan.rules[0].bytes == sum(t.bytes for t in plan.tensors if t.module.endswith("down_proj"))


def test_a_pattern_that_matches_nothing_is_refused_with_names_that_are_near(source: Path) -> None:
    error = _refused(source, Rule("model.layers.0.mlp.up_prj", "keep"))
    assert "'model.layers.0.mlp.up_prj'" in error.message and "model.layers.0.mlp.up_proj" in error.hint
    assert "'*.gate'" in _refused(source, ignore=("*.gate",)).message


def test_a_rule_that_earlier_ones_shadow_is_refused(source: Path) -> None:
    assert "'*.up_proj'" in _refused(source, Rule("*.mlp.*", W8), Rule("*.up_proj", "keep")).message


def test_a_rule_for_what_cannot_be_quantized_is_refused(source: Path) -> None:
    assert "cannot be quantized" in _refused(source, Rule("model.norm", W8)).message


def test_a_group_size_that_divides_nothing_is_refused_with_sizes_that_do(source: Path) -> None:
    error = _refused(source, default=Scheme(group_size=48))
    assert "down_proj.weight: group size 48 does not divide its 128 columns" in error.message
    assert "--group-size 128 or --group-size 64" in error.hint


def test_a_tied_head_cannot_be_quantized_alone(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), {**LLAMA_CONFIG, "tie_word_embeddings": True})
    assert "tied" in _refused(source, Rule("lm_head", W8)).message


def test_a_checkpoint_that_is_quantized_already_is_refused(tmp_path: Path) -> None:
    config = {**LLAMA_CONFIG, "quantization_config": {"quant_method": "gptq"}}
    assert "gptq" in _refused(write_checkpoint(tmp_path / "m", llama_tensors(), config)).message


def test_a_checkpoint_with_nothing_to_quantize_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", {"model.norm.weight": torch.ones(8)})
    assert "nothing" in _refused(source).message


def test_traps_of_the_readers_are_warned_of(source: Path) -> None:
    codes = {warning.code for warning in _plan(source, default=Scheme(bits=3, group_size=32, symmetric=False)).warnings}
    assert {"asymmetric", "odd-width"} <= codes
    assert "low-coverage" in {w.code for w in _plan(source, ignore=("*.mlp.*",)).warnings}
    assert not _plan(source).warnings


def test_mixed_schemes_become_config_groups(source: Path) -> None:
    config = json.loads(_plan(source, Rule("*.down_proj", W8)).texts["config.json"])["quantization_config"]
    groups = list(config["config_groups"].values())
    assert config["format"] == "mixed-precision" and len(groups) == 2
    assert groups[0]["targets"] == ["Linear"] and groups[0]["weights"]["group_size"] == 32
    assert groups[1]["targets"] == ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"]
    assert "lm_head" in config["ignore"]


def test_an_alias_is_written_once(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    torch.save(tensors, tmp_path / "model.bin")
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_CONFIG, "tie_word_embeddings": True}))
    plan = _plan(tmp_path)
    assert (
        sum(t.bytes for t in plan.tensors if t.name in ("lm_head.weight", "model.embed_tokens.weight")) == 96 * 64 * 2
    )


def test_a_checkpoint_of_an_unknown_architecture_gets_a_plan_from_shapes(tmp_path: Path) -> None:
    tensors = {
        "stem.mix.weight": torch.randn(64, 64),
        "stem.mix.bias": torch.zeros(64),
        "tiny.weight": torch.randn(4, 64),
    }
    plan = _plan(write_checkpoint(tmp_path / "m", tensors, {"model_type": "nobody-knows"}))
    assert [tensor.name for tensor in plan.quantized] == ["stem.mix.weight"]
