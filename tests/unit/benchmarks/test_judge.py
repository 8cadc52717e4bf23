"""What judges every method alike, on numbers that can be worked out by hand."""

from __future__ import annotations

import json
import struct
import zlib
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from benchmarks.deeper_checkpoint import write_deeper
from benchmarks.judge import judged, replace_weights, stored_bits
from benchmarks.prose import lines, objects, paragraphs


def _logs(*rows: tuple[float, ...]) -> np.ndarray:  # type: ignore[type-arg]
    return np.log(np.array(rows, np.float32))


def test_divergence_perplexity_and_agreement_are_those_of_the_definitions() -> None:
    ids = torch.tensor([0, 1, 0])
    before, after = _logs((0.5, 0.5 - 1e-6), (0.9, 0.1)), _logs((0.25, 0.75), (0.8, 0.2))
    found = judged([ids], iter([before]), iter([after]))
    kl = [0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75), 0.9 * log(0.9 / 0.8) + 0.1 * log(0.1 / 0.2)]
    assert found["tokens"] == 2
    assert found["kl"] == pytest.approx(sum(kl) / 2, abs=1e-5)
    assert found["perplexity"] == pytest.approx(exp(-(log(0.75) + log(0.8)) / 2), rel=1e-5)
    assert found["base_perplexity"] == pytest.approx(exp(-(log(0.5) + log(0.9)) / 2), rel=1e-5)
    assert found["top1"] == 0.5


def test_weights_replace_those_of_their_name_and_a_stranger_is_refused() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    kept = net[1].weight.clone()
    replace_weights(net, {"0.weight": torch.ones(2, 3, dtype=torch.bfloat16)})
    assert torch.equal(net[0].weight, torch.ones(2, 3))
    assert torch.equal(net[1].weight, kept)
    with pytest.raises(KeyError):
        replace_weights(net, {"2.weight": torch.ones(2, 3)})
    with pytest.raises(ValueError, match=r"0\.weight"):
        replace_weights(net, {"0.weight": torch.ones(1, 3)})


def test_stored_bits_are_of_the_layers_that_are_kept_as_codes(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    names = {"a.q_proj.weight": (8, 64), "a.norm.weight": (64,), "a.q_proj.bias": (8,)}
    save_file({name: np.zeros(shape, np.float32) for name, shape in names.items()}, base / "model.safetensors")
    kept = {"a.q_proj.codes": np.zeros((8, 32), np.uint8), "a.q_proj.scale": np.zeros((8, 1), np.float16)}
    rest = {"a.norm.weight": np.zeros(64, np.float32), "a.q_proj.bias": np.zeros(8, np.float32)}
    save_file({**kept, **rest}, out / "model.safetensors")
    assert stored_bits(out, str(base)) == 4 + 16 / 64
    assert stored_bits(base, str(base)) is None


def test_a_novel_comes_out_of_a_database_of_r_with_its_paragraphs_joined() -> None:
    texts = ["TITLE", "", "One line", " and its end.", "", "", "Next."]
    vector = b"".join(struct.pack(">Ii", 0x00040009, len(text)) + text.encode() for text in texts)
    head = b"X\n" + struct.pack(">IIII", 3, 0x040201, 0x030500, 5) + b"UTF-8"
    book = head + struct.pack(">II", 16, len(texts)) + vector
    packed = b"".join(struct.pack(">I", len(part)) + zlib.compress(part) for part in (b"first", book))
    found = list(objects(packed))
    assert found == [b"first", book]
    assert paragraphs(lines(found[1])) == "TITLE\n\nOne line and its end.\n\nNext.\n"
    with pytest.raises(ValueError, match="no vector"):
        list(lines(head + struct.pack(">II", 13, 1) + bytes(8)))


def test_a_deeper_checkpoint_has_twice_the_blocks_and_the_rest_as_it_was(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    weights = {f"model.layers.{at}.mlp.up_proj.weight": np.full((4, 4), at, np.float32) for at in (0, 1)}
    weights["model.norm.weight"] = np.arange(4, dtype=np.float32)
    save_file(weights, base / "model.safetensors")
    (base / "config.json").write_text(json.dumps({"num_hidden_layers": 2, "hidden_size": 4}))
    assert write_deeper(base, tmp_path / "deep") == 4
    found = load_file(tmp_path / "deep" / "model.safetensors")
    assert set(found) == {f"model.layers.{at}.mlp.up_proj.weight" for at in range(4)} | {"model.norm.weight"}
    assert np.array_equal(found["model.norm.weight"], weights["model.norm.weight"])
    assert json.loads((tmp_path / "deep" / "config.json").read_text()) == {"num_hidden_layers": 4, "hidden_size": 4}
