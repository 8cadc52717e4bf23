"""A statistics file of ours: sums over what each layer is given, in llama.cpp's form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer

from qtquant_app.assets import resource
from qtquant_app.cli.main import main
from qtquant_app.core.errors import EvaluateError, PlanError
from qtquant_app.engine.gather_statistics import gather_statistics
from qtquant_app.engine.importance import read_statistics
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import read_text
from tests.driving import finish

NAME = "model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("statistics") / "imatrix.gguf"
    _, found = finish(gather_statistics(open_checkpoint("sample"), file, windows=2, seqlen=64, device="cpu"))
    assert (found.tokens, Path(found.output)) == (128, file)
    return file


def test_sums_are_those_of_what_a_layer_is_given(gathered: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(resource("sample"), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(resource("sample"))
    first, _ = read_text("default").halves()
    given = []
    model.get_submodule(NAME).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0][0]))
    for part in first.slices(2, 64 * 6):
        with torch.no_grad():
            model(tokenizer(part, return_tensors="pt")["input_ids"][:, :64])
    expected = torch.cat(given).square().mean(dim=0).numpy()
    found = read_statistics(gathered, open_checkpoint("sample")).columns[f"{NAME}.weight"]
    assert len(torch.cat(given)) == 128 and np.allclose(found, expected, rtol=1e-4)


def test_the_file_is_what_llama_cpp_reads(gathered: Path) -> None:
    reader = GGUFReader(gathered)
    assert reader.get_field("general.type").contents() == "imatrix"
    assert reader.get_field("imatrix.chunk_count").contents() == 2
    shapes = {tensor.name: tensor.shape.tolist() for tensor in reader.tensors}
    assert shapes["blk.1.ffn_down.weight.in_sum2"] == [768, 1]
    assert shapes["blk.1.ffn_down.weight.counts"] == [1, 1]
    assert {t.data.item() for t in reader.tensors if t.name.endswith(".counts")} == {128.0}


def test_a_file_that_stands_there_is_left_alone(gathered: Path) -> None:
    before = gathered.read_bytes()
    with pytest.raises(PlanError, match="exists"):
        finish(gather_statistics(open_checkpoint("sample"), gathered))
    assert gathered.read_bytes() == before


def test_what_cannot_be_written_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "i.gguf"):
        with pytest.raises(PlanError):
            finish(gather_statistics(open_checkpoint("sample"), place, overwrite=True))


def test_a_model_that_cannot_be_run_is_sent_to_llama_cpp(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError) as caught:
        finish(gather_statistics(replace(open_checkpoint("sample"), carried_files=()), tmp_path / "i.gguf"))
    assert "llama-imatrix" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_the_command_line_makes_one_that_a_run_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(tmp_path / "i.gguf"), str(tmp_path / "out")
    assert main(["statistics", "sample", "-o", file, "--windows", "2", "--seqlen", "64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 128
    assert main(["quantize", "sample", "-o", out, "--preset", "q4_k_m", "--importance", file]) == 0
    assert main(["statistics", "sample", "-o", file, "--windows", "0"]) == 2
