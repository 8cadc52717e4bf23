"""Methods that look at samples: on every kind of model, killed and gone on with, refused where they cannot work."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

import qtquant_app
from qtquant_app.core.calibration import Calibration
from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.events import Calibrated, Event, StageChanged, Warned
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from tests.checkpoints import small_llama
from tests.driving import result
from tests.end2end import tiny_models
from tests.unit.engine.calibrate.running import SAMPLES, files_of, planned, running
from tests.unit.engine.walk.nets import saved
from tests.unit.engine.walk.test_walk import KINDS, whole

TOLD = ("bert", "vit", "whisper", "clip", "mixtral", "qwen3_moe")
METHODS = ("gptq", "awq", "awq+gptq", "learned")


@pytest.mark.parametrize("kind", TOLD)
def test_every_method_is_no_worse_than_rounding_to_nearest_on_inputs_it_never_saw(kind: str, tmp_path: Path) -> None:
    build, inputs, _ = KINDS[kind]
    torch.manual_seed(0)
    model, held_out = build().eval(), inputs()
    checkpoint, expected = saved(model, tmp_path / "source"), whole(model, held_out)
    errors = {}
    for method in ("rtn", *METHODS):
        output = tmp_path / method
        result(running(planned(checkpoint, method), output))
        assert result(verify(output, checkpoint.path)).ok
        found = whole(qtquant_app.load(output, dtype=torch.float32), held_out)
        errors[method] = float((found - expected).norm() / expected.norm())
    assert all(errors[method] <= errors["rtn"] for method in METHODS), errors


def drive_until(events: Generator[Event, None, object], stop: int) -> int:
    """Lets a run go on until it has said `stop` times that it calibrates, and closes it; how often it said so."""
    said = 0
    for event in events:
        said += isinstance(event, Calibrated)
        if said == stop:
            events.close()
            break
    return said


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_run_that_is_stopped_while_it_calibrates_goes_on_and_ends_in_the_same_bytes(
    method: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    checkpoint = saved(tiny_models.llama(), tmp_path / "source")
    plan = planned(checkpoint, method)
    result(running(plan, tmp_path / "whole"))
    stop, output = 1, tmp_path / "stopped"
    while drive_until(running(plan, output, resume=True), stop) == stop:
        assert not output.exists()
        stop += 9
    assert files_of(output) == files_of(tmp_path / "whole")
    assert not (output / "solved").exists()


def test_blocks_that_are_done_are_not_solved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    plan = planned(saved(tiny_models.llama(), tmp_path / "source"), "gptq")
    events = running(plan, tmp_path / "out")
    for event in events:
        if isinstance(event, Calibrated) and event.text == "model.layers.1":
            events.close()
            break
    from qtquant_app.engine.calibrate import block

    solved: list[str] = []
    before = block.solved
    monkeypatch.setattr(block, "solved", lambda matrix: solved.append(matrix.tensor.name) or before(matrix))
    result(running(plan, tmp_path / "out", resume=True))
    assert solved
    assert all(name.startswith("model.layers.1.") for name in solved)


def test_a_block_whose_file_is_damaged_is_solved_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = planned(saved(tiny_models.llama(), tmp_path / "source"), "gptq")
    result(running(plan, tmp_path / "whole"))
    events = running(plan, tmp_path / "out")
    for event in events:
        if isinstance(event, StageChanged) and event.stage == "quantize":
            events.close()
            break
    first = tmp_path / "out.partial" / "solved" / "00000"
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    result(running(plan, tmp_path / "out", resume=True))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_samples_that_have_changed_since_are_told_and_nothing_is_mixed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = saved(tiny_models.vit(), tmp_path / "source")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    from PIL import Image

    for number in range(4):
        Image.new("RGB", (40, 40), (number * 60, 10, 200)).save(pictures / f"{number}.png")
    from transformers import ViTImageProcessor

    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(checkpoint.root)
    checkpoint = open_checkpoint(checkpoint.root)
    recipe = Recipe(default=Scheme(2, group_size=32, method="gptq"), format="qtquant")
    plan = make_plan(checkpoint, recipe, calibration=Calibration(source=str(pictures), samples=4), device="cpu")
    drive_until(running(plan, tmp_path / "out"), 3)
    Image.new("RGB", (40, 40), (1, 2, 3)).save(pictures / "0.png")
    with pytest.raises(SourceError, match="changed"):
        result(running(plan, tmp_path / "out", resume=True))


def test_the_record_says_what_was_calibrated_with(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan = planned(saved(tiny_models.llama(), tmp_path / "source"), "gptq")
    result(running(plan, tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "qtquant.json").read_text())
    assert record["calibration"]["count"] == SAMPLES.samples
    assert len(record["calibration"]["sha256"]) == 64
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))).calibration == SAMPLES


def test_layers_of_other_methods_are_quantized_beside_calibrated_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = saved(tiny_models.llama(), tmp_path / "source")
    rules = (Rule("*.mlp.*", Scheme(4, group_size=32, method="mse")), Rule("*.k_proj", "keep"))
    plan = planned(checkpoint, "gptq", rules=rules)
    report = result(running(plan, tmp_path / "out"))
    methods = {tensor.name.split(".")[-2]: tensor.scheme.method for tensor in report.tensors}
    assert methods["q_proj"] == "gptq"
    assert methods["down_proj"] == "mse"
    assert "k_proj" not in methods
    assert result(verify(tmp_path / "out", checkpoint.path)).ok


def test_experts_that_no_sample_reaches_are_quantized_and_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tiny_models.mixtral(num_local_experts=8, num_experts_per_tok=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gate.weight"):
                parameter[3:] = -100 * parameter[:1]
                parameter[:3] *= 0.01
    plan = planned(saved(model, tmp_path / "source"), "gptq")
    warnings = [e.text for e in running(plan, tmp_path / "out") if isinstance(e, Warned)]
    assert any("no sample reached it" in text for text in warnings)


def test_a_head_is_calibrated_too_where_it_is_quantized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = saved(tiny_models.llama(), tmp_path / "source")
    found = {}
    for method in ("rtn", "gptq"):
        rules = (Rule("lm_head", Scheme(2, group_size=32, method=method)), Rule("model.*", "keep"))
        result(running(planned(checkpoint, method, rules=rules), tmp_path / method))
        found[method] = qtquant_app.load(tmp_path / method, dtype=torch.float32)
    torch.manual_seed(5)
    ids = {"input_ids": torch.randint(3, 100, (4, 24))}
    from transformers import AutoModelForCausalLM

    expected = whole(AutoModelForCausalLM.from_pretrained(checkpoint.root), ids)
    errors = {method: float((whole(model, ids) - expected).norm()) for method, model in found.items()}
    assert errors["gptq"] < errors["rtn"]


def test_weights_alone_cannot_be_calibrated_and_the_plan_says_so(tmp_path: Path) -> None:
    source = small_llama(tmp_path / "source")
    (source / "config.json").unlink()
    with pytest.raises(PlanError, match="runs the model") as told:
        planned(open_checkpoint(source), "gptq")
    assert "mse" in told.value.hint


def test_a_weight_that_is_not_finite_is_refused_by_name_before_it_spoils_the_rest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tiny_models.llama()
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.up_proj.weight")[3, 5] = float("nan")
    plan = planned(saved(model, tmp_path / "source"), "gptq")
    with pytest.raises(SourceError, match=r"layers\.1\.mlp\.up_proj\.weight holds nan at row 3, column 5"):
        result(running(plan, tmp_path / "out"))
