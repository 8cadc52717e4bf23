"""Methods that look at samples, in GGUF's blocks: gguf-py reads what they write as we do, and it errs less than a search."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qtquant_app.assets import resource
from qtquant_app.cli.main import main
from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Calibrated
from qtquant_app.core.layouts import MIXTURE
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.rounding import Matrix, solved
from qtquant_app.engine.calibrate.solutions import BlockSolution
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.tools import open_tools
from qtquant_app.engine.verify import result_plan, verify
from qtquant_app.engine.written import restored_weights
from qtquant_app.formats import find
from qtquant_app.quant.blocks.grids import chunk_of
from qtquant_app.quant.chunk import RowErrors, of_blocks
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.driving import result
from tests.unit.engine.calibrate.running import files_of, running

SAMPLES = Calibration(samples=6, length=96)
MIX = f"{MIXTURE}Q4_K_M"
CASES = [("Q4_0", "gptq"), ("Q3_K", "awq"), ("Q4_K", "awq+gptq"), ("Q2_K", "learned"), (MIX, "gptq")]


def planned(layout: str, method: str) -> Plan:
    recipe = Recipe(Scheme.of_layout(layout, method), format="gguf")
    return make_plan(open_checkpoint("sample"), recipe, calibration=SAMPLES, device="cpu")


def weights_of(checkpoint: Checkpoint, output: Path) -> dict[str, torch.Tensor]:
    """The weights in a result, as we read them, by the names of the source."""
    with open_tools(checkpoint, find("gguf"), "cpu") as tools:
        return result(restored_weights(tools, output, result_plan(output)))


def read_by_gguf_py(output: Path) -> dict[str, np.ndarray]:
    """The weights in a file, as gguf-py reads them."""
    (file,) = output.glob("*.gguf")
    return {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(file).tensors}


@cache
def held_out() -> tuple[torch.Tensor, torch.Tensor]:
    """Text that no sample has, and what the model says of it."""
    tokenizer = AutoTokenizer.from_pretrained(resource("sample"))
    ids = tokenizer(Path(resource("sample") / "heldout.txt").read_text(), return_tensors="pt")["input_ids"][:, :384]
    return ids, said(ids, {})


def said(ids: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the model says with some of its weights replaced."""
    model = AutoModelForCausalLM.from_pretrained(resource("sample"), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, value in weights.items():
            model.get_parameter(name).copy_(value)
        logits: torch.Tensor = model(ids).logits.log_softmax(-1)
    return logits


def divergence(checkpoint: Checkpoint, output: Path) -> float:
    """The mean over held-out tokens of the Kullback-Leibler divergence from what the model says."""
    ids, expected = held_out()
    found = said(ids, weights_of(checkpoint, output))
    return float((expected.exp() * (expected - found)).sum(-1).mean())


@pytest.mark.parametrize(("layout", "method"), CASES)
def test_a_calibrated_file_is_read_as_written_and_errs_less_than_the_search(
    layout: str, method: str, tmp_path: Path
) -> None:
    checkpoint, errors = open_checkpoint("sample"), {}
    for tried in ("mse", method):
        report = result(running(planned(layout, tried), tmp_path / tried))
        assert report.verified and result(verify(tmp_path / tried, "sample")).ok
        errors[tried] = divergence(checkpoint, tmp_path / tried)
    assert errors[method] < errors["mse"]
    sizes = {path.stat().st_size for tried in ("mse", method) for path in (tmp_path / tried).glob("*.gguf")}
    assert len(sizes) == 1
    ours, theirs = weights_of(checkpoint, tmp_path / method), read_by_gguf_py(tmp_path / method)
    format = find("gguf").bound(checkpoint)
    for tensor in checkpoint.tensors:
        if tensor.name not in ours:
            continue
        (stored,) = format.kept(tensor)
        at, found = format.row_positions(tensor), theirs[stored.name]
        assert np.array_equal(found if at is None else found[at], ours[tensor.name].float().numpy()), tensor.name


def test_a_run_that_is_stopped_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    plan = planned("Q4_K", "gptq")
    result(running(plan, tmp_path / "whole"))
    for stop in ("model.layers.1", "model.layers.3"):
        events = running(plan, tmp_path / "out", resume=True)
        for event in events:
            if isinstance(event, Calibrated) and event.text == stop:
                events.close()
                break
    result(running(plan, tmp_path / "out", resume=True))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_what_samples_say_nothing_of_gets_what_the_method_starts_from() -> None:
    plan = planned(MIX, "awq+gptq")
    methods = {t.name: (t.scheme.layout, t.scheme.method) for t in plan.quantized if t.scheme is not None}
    assert methods["model.embed_tokens.weight"] == ("Q6_K", "mse")
    assert methods["model.layers.0.mlp.up_proj.weight"] == ("Q4_K", "awq+gptq")
    halves = planned("F16", "gptq")
    assert {t.scheme.method for t in halves.quantized if t.scheme is not None} == {"rtn"}
    assert halves.calibration is None


def test_blocks_are_kept_between_runs_as_they_are() -> None:
    packed = np.arange(4 * 144, dtype=np.uint8).reshape(4, 144)
    solution = BlockSolution("b", {"w": of_blocks(packed, "BF16", RowErrors.concat(()))})
    chunk = BlockSolution.from_bytes(solution.to_bytes()).chunks["w"]
    assert np.array_equal(chunk.packed, packed) and chunk.zero is None
    assert chunk.scale.shape == (4, 0) and chunk.scale.dtype == np.uint16


@pytest.mark.parametrize("method", ["gptq", "awq", "learned"])
def test_a_matrix_that_no_token_reached_is_searched_for_and_told(method: str) -> None:
    tensor = open_checkpoint("sample").by_name["model.layers.0.mlp.up_proj.weight"]
    weight = torch.randn(8, 256, generator=torch.Generator().manual_seed(0))
    scheme = Scheme.of_layout("Q4_K", method)
    found, note = solved(Matrix(tensor, scheme, weight, None))
    expected = CpuBackend().quantize(weight.numpy(), "F32", scheme, 1)
    assert np.array_equal(chunk_of(found, scheme, "F32", 1).packed, expected.packed)
    assert tensor.name in note and "no sample reached it" in note


def test_a_preset_and_a_method_go_together_on_the_command_line(tmp_path: Path) -> None:
    output = tmp_path / "out"
    words = ["--format", "gguf", "--preset", "Q4_K_M", "--method", "gptq", "--samples", "4", "--seqlen", "64"]
    assert main(["quantize", "sample", "-o", str(output), *words, "--device", "cpu"]) == 0
    schemes = {t.name: t.scheme for t in result_plan(output).quantized}
    assert {scheme.method for scheme in schemes.values() if scheme is not None} == {"gptq", "mse"}
    assert {scheme.layout for scheme in schemes.values() if scheme is not None} == {"Q4_K", "Q6_K"}
