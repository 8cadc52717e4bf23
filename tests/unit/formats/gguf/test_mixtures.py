"""Mixtures against what llama.cpp's own quantizer chose (llama-cpp-python 0.3.36, llama_model_quantize, random weights)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.layouts import LAYOUTS, MIXTURES
from qtquant_app.formats.gguf.bound import mixture_of
from qtquant_app.formats.gguf.general import FILE_TYPES, file_type
from qtquant_app.formats.gguf.mixtures import Model, fallback, is_quantized, type_of

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "gguf_mixtures.json").read_text())
ROWS = 32
"""Of the vocabulary."""


def model_of(case: dict[str, Any]) -> Model:
    return Model(case["arch"], case["layers"], case["heads"] // case["kv"], case["experts"], case["tied"])


def block_shapes(case: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """What a block has, as the files had it that llama.cpp quantized."""
    wide, inner, experts = case["hidden"], case["ff"], case["experts"]
    shared = wide // case["heads"] * case["kv"]
    shapes: dict[str, tuple[int, ...]] = {"attn_norm": (wide,), "ffn_norm": (wide,), "attn_output": (wide, wide)}
    if case["arch"] == "phi3":
        fused = {"attn_qkv": (wide + 2 * shared, wide), "ffn_up": (2 * inner, wide), "ffn_down": (wide, inner)}
        return shapes | fused
    shapes |= {"attn_q": (wide, wide), "attn_k": (shared, wide), "attn_v": (shared, wide)}
    if experts:
        into, out = (experts, inner, wide), (experts, wide, inner)
        return shapes | {
            "ffn_gate_inp": (experts, wide),
            "ffn_gate_exps": into,
            "ffn_up_exps": into,
            "ffn_down_exps": out,
        }
    return shapes | {"ffn_gate": (inner, wide), "ffn_up": (inner, wide), "ffn_down": (wide, inner)}


def tensors_of(case: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    wide = case["hidden"]
    named = {"token_embd.weight": (ROWS, wide), "output_norm.weight": (wide,)}
    if not case["tied"]:
        named["output.weight"] = (ROWS, wide)
    block = block_shapes(case)
    return named | {f"blk.{i}.{name}.weight": shape for i in range(case["layers"]) for name, shape in block.items()}


def chosen(types: dict[str, str], layers: int) -> dict[str, str]:
    """The golden file's runs (`Q6_Kx2 Q4_K`), a type for each tensor."""
    found = {}
    for name, runs in types.items():
        row = [type_ for run in runs.split() for type_, _, n in [run.partition("x")] for _ in range(int(n or 1))]
        if len(row) == 1 and name in ("token_embd.weight", "output.weight"):
            found[name] = row[0]
        else:
            assert len(row) == layers
            found |= {f"blk.{i}.{name}": type_ for i, type_ in enumerate(row)}
    return found


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("name", GOLDEN)
def test_every_tensor_gets_the_type_that_llama_cpp_chose(name: str, mixture: str) -> None:
    case = GOLDEN[name]["model"]
    want = chosen(GOLDEN[name]["types"][mixture], case["layers"])
    shapes, model = tensors_of(case), model_of(case)
    got = {tensor: type_of(mixture, tensor, shape, model) for tensor, shape in shapes.items()}
    assert {tensor: type_ for tensor, type_ in got.items() if type_ is not None} == want


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("name", GOLDEN)
def test_a_file_is_named_after_a_mixture_that_makes_it(name: str, mixture: str) -> None:
    case = GOLDEN[name]["model"]
    model, shapes = model_of(case), tensors_of(case)
    table = [(tensor, type_of(mixture, tensor, shape, model) or "F32", shape) for tensor, shape in shapes.items()]
    again = mixture_of(table, model)
    assert all(type_of(again, t, s, model) == type_of(mixture, t, s, model) for t, s in shapes.items())


def test_a_file_that_is_no_mixture_is_named_after_what_most_weights_are() -> None:
    case = GOLDEN["llama"]["model"]
    table = [(name, "Q5_K" if "ffn" in name else "Q4_0", shape) for name, shape in tensors_of(case).items()]
    assert mixture_of(table, model_of(case)) == "Q5_K"
    assert (file_type("Q5_K"), file_type("Q4_0"), file_type("IQ9")) == (16, 2, 1024)


def test_every_mixture_has_a_number() -> None:
    assert set(MIXTURES) <= set(FILE_TYPES)
    assert len(set(FILE_TYPES.values())) == len(FILE_TYPES)


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(1, 2048))
def test_what_is_fallen_back_on_always_fits(layout: str, columns: int) -> None:
    found = fallback(layout, columns)
    assert columns % LAYOUTS[found].block == 0
    assert found == layout or columns % LAYOUTS[layout].block
    assert LAYOUTS[found].bits_per_weight >= LAYOUTS[layout].bits_per_weight or found == layout


@pytest.mark.parametrize(
    ("name", "sides", "so"),
    [
        ("blk.0.attn_q.weight", 2, True),
        ("blk.0.ffn_up_exps.weight", 3, True),
        ("blk.0.attn_q.bias", 1, False),
        ("blk.0.attn_q_norm.weight", 1, False),
        ("blk.0.ffn_gate_inp.weight", 2, False),
        ("rope_freqs.weight", 1, False),
    ],
)
def test_only_matrices_of_weights_are_quantized(name: str, sides: int, so: bool) -> None:
    assert is_quantized(name, sides) is so
