"""Samples that go through a block once: they wait where the next matrix is multiplied, until it is rounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.engine.calibrate import block as block_work
from qtquant_app.engine.calibrate.arithmetic import computing
from qtquant_app.engine.calibrate.inputs import Inputs
from qtquant_app.engine.calibrate.stages import OtherOrderError, Staged, put, stages_of
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.passage import Call
from qtquant_app.engine.walk.walk import Chain, Walk
from tests.driving import result
from tests.end2end import tiny_models
from tests.unit.engine.calibrate.running import files_of, planned, running
from tests.unit.engine.walk.nets import opened, saved

CPU = torch.device("cpu")
ATTENTION = ("q_proj", "k_proj", "v_proj"), ("o_proj",)
MLP = ("gate_proj", "up_proj"), ("down_proj",)


@contextmanager
def waiting(checkpoint: Checkpoint, batches: int = 3) -> Iterator[tuple[Net, str, nn.Module, list[Call]]]:
    """Batches that wait at the first block, which is filled."""
    chance = torch.Generator().manual_seed(0)
    inputs = [{"input_ids": torch.randint(0, 60, (2, 9), generator=chance)} for _ in range(batches)]
    with opened(checkpoint) as net, Walk([Chain(net, inputs)]) as walk:
        visit = next(walk.visits())
        with net.filled(visit.block) as module:
            yield net, visit.block, module, visit.calls()


def linear(net: Net, block: str) -> list[str]:
    return [name for name in net.matrices(block) if len(net.checkpoint.by_name[name].shape) == 2]


def run_alone(module: nn.Module, call: Call) -> torch.Tensor:
    with torch.no_grad(), computing(CPU):
        output: torch.Tensor = call.run(module)
    return output


def written(output: Path) -> dict[str, torch.Tensor]:
    return {key: value for file in output.glob("*.safetensors") for key, value in load_file(file).items()}


@pytest.fixture(scope="module")
def sample() -> Checkpoint:
    return open_checkpoint("sample")


def test_matrices_that_are_given_the_same_are_one_stage(sample: Checkpoint) -> None:
    with waiting(sample) as (net, block, module, calls):
        stages = stages_of(net, block, module, calls[0], linear(net, block))
        found = [tuple(name.split(".")[-2] for name in stage.names) for stage in stages]
    assert found == [*ATTENTION, *MLP]


def test_a_block_whose_matrices_are_parts_of_others_has_no_stages(tmp_path: Path) -> None:
    with waiting(saved(tiny_models.mixtral(), tmp_path / "m")) as (net, block, module, calls):
        assert stages_of(net, block, module, calls[0], linear(net, block)) == []


def test_what_is_not_touched_on_the_way_comes_out_as_ever(sample: Checkpoint) -> None:
    with waiting(sample) as (net, block, module, calls):
        wanted = linear(net, block)
        inputs = Inputs(wanted)
        for call in calls:
            with torch.no_grad(), computing(CPU), inputs.watching(net, block):
                call.run(module)
        stages = stages_of(net, block, module, calls[0], wanted)
        with Staged(net, block, module, calls, stages) as staged:
            for stage in stages:
                moments, expected = result(staged.to(stage)), inputs.of(stage.names[0])
                assert expected is not None and moments.tokens == expected.tokens == 54
                torch.testing.assert_close(moments.hessian, expected.hessian, rtol=0, atol=0)
            outputs = result(staged.out(lambda output: output))
        for output, call in zip(outputs, calls, strict=True):
            torch.testing.assert_close(output, run_alone(module, call), rtol=0, atol=0)


def test_a_matrix_is_given_what_came_out_of_the_rounded_ones_before_it(sample: Checkpoint) -> None:
    with waiting(sample) as (net, block, module, calls):
        stages = stages_of(net, block, module, calls[0], linear(net, block))
        with Staged(net, block, module, calls, stages) as staged:
            result(staged.to(stages[0]))
            for product in stages[0].products:
                put(product, torch.zeros(product.weight.shape))
            assert not result(staged.to(stages[1])).hessian.any()  # no values, so nothing to attend to
            for stage in stages[2:]:
                result(staged.to(stage))
            outputs = result(staged.out(lambda output: output))
        torch.testing.assert_close(outputs[1], run_alone(module, calls[1]), rtol=0, atol=0)


def test_a_call_that_goes_another_way_is_told(sample: Checkpoint) -> None:
    with waiting(sample) as (net, block, module, calls):
        stages = stages_of(net, block, module, calls[0], linear(net, block))
        with Staged(net, block, module, calls, stages[1:]) as staged, pytest.raises(OtherOrderError):
            result(staged.to(stages[2]))


def test_where_calls_go_other_ways_the_block_is_solved_as_without_stages(
    sample: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(sample, "gptq")
    result(running(plan, tmp_path / "stages"))
    monkeypatch.setattr(block_work, "stages_of", lambda *where: stages_of(*where)[::-1])
    result(running(plan, tmp_path / "turned"))
    monkeypatch.setattr(block_work, "stages_of", lambda *where: [])
    result(running(plan, tmp_path / "none"))
    assert files_of(tmp_path / "turned") == files_of(tmp_path / "none") != files_of(tmp_path / "stages")
    found, other = (written(tmp_path / name) for name in ("stages", "none"))
    first = [key for key in found if "layers.0" in key and any(name in key for name in ATTENTION[0])]
    assert len(first) >= 6 and all(torch.equal(found[key], other[key]) for key in first)


def test_stages_take_no_more_than_there_is_room_for(
    sample: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise AssertionError("samples were to wait in the block")

    monkeypatch.setattr(block_work, "stages_of", refuse)
    monkeypatch.setattr("qtquant_app.engine.calibrate.run._SHELF_SHARE", 1 << 60)
    result(running(planned(sample, "gptq"), tmp_path / "out"))
