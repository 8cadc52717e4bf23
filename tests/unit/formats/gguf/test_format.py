"""The gguf format on a checkpoint: types, names, kept tensors, stacks, refusals, the places of weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.dtypes import nbytes
from qtquant_app.core.errors import PlanError
from qtquant_app.core.layouts import LAYOUTS, MIXTURE
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats.gguf.format import Gguf
from qtquant_app.formats.gguf.general import general
from qtquant_app.formats.gguf.kept import from_float32, to_float32
from qtquant_app.formats.gguf.places import placement
from tests.unit.formats.gguf.configs import config

WIDE = 256


def info(name: str, *shape: int, kind: Kind = Kind.LINEAR, dtype: str = "BF16") -> TensorInfo:
    return TensorInfo(name, dtype, shape, "model.safetensors", 0, nbytes(dtype, shape), kind)


def block(layer: int, experts: int = 0) -> list[TensorInfo]:
    prefix = f"model.layers.{layer}"
    found = [
        info(f"{prefix}.{name}.weight", WIDE, kind=Kind.NORM)
        for name in ("input_layernorm", "post_attention_layernorm")
    ]
    sizes = {"q": (64, WIDE), "k": (32, WIDE), "v": (32, WIDE), "o": (WIDE, 64)}
    found += [info(f"{prefix}.self_attn.{name}_proj.weight", *shape) for name, shape in sizes.items()]
    if not experts:
        shapes = {"gate": (96, WIDE), "up": (96, WIDE), "down": (WIDE, 96)}
        return found + [info(f"{prefix}.mlp.{name}_proj.weight", *shape) for name, shape in shapes.items()]
    found.append(info(f"{prefix}.block_sparse_moe.gate.weight", experts, WIDE))
    return found + [
        info(f"{prefix}.block_sparse_moe.experts.{e}.{name}.weight", *shape, kind=Kind.EXPERT)
        for e in range(experts)
        for name, shape in {"w1": (96, WIDE), "w3": (96, WIDE), "w2": (WIDE, 96)}.items()
    ]


def checkpoint(name: str = "LlamaForCausalLM", experts: int = 0, **changes: Any) -> Checkpoint:
    tensors = [info("model.embed_tokens.weight", 128, WIDE, kind=Kind.EMBEDDING)]
    tensors += [tensor for layer in range(2) for tensor in block(layer, experts)]
    tensors += [info("model.norm.weight", WIDE, kind=Kind.NORM), info("lm_head.weight", 128, WIDE, kind=Kind.HEAD)]
    said = config(name, hidden_size=WIDE, head_dim=16, **changes)
    return Checkpoint(Path(), Path(), "org/name@main", tuple(tensors), ("model.safetensors",), config=said)


def without(found: Checkpoint, *names: str) -> Checkpoint:
    return replace(found, tensors=tuple(tensor for tensor in found.tensors if tensor.name not in names))


def given_to(found: Checkpoint, scheme: Scheme) -> dict[str, str | None]:
    """The layout of each tensor under a recipe of one scheme; None where it is kept."""
    linear = [tensor.kind in (Kind.LINEAR, Kind.EXPERT) for tensor in found.tensors]
    schemes = [scheme if quantized else None for quantized in linear]
    adapted = Gguf().bound(found).adapted(found, schemes, [not quantized for quantized in linear])
    return {t.name: s and s.layout for t, s in zip(found.tensors, adapted, strict=True)}


def test_a_mixture_gives_each_tensor_its_type_embedding_and_head_too() -> None:
    layouts = given_to(checkpoint(), Scheme.of_layout(f"{MIXTURE}Q4_K_M"))
    assert layouts["model.embed_tokens.weight"] == "Q4_K" and layouts["lm_head.weight"] == "Q6_K"
    assert layouts["model.layers.1.self_attn.v_proj.weight"] == "Q6_K"
    assert layouts["model.layers.0.mlp.down_proj.weight"] == "Q5_0"  # 96 columns are no whole block of Q4_K
    assert layouts["model.layers.0.input_layernorm.weight"] is None


def test_a_block_type_leaves_alone_what_the_recipe_leaves_alone() -> None:
    layouts = given_to(checkpoint(), Scheme.of_layout("Q6_K"))
    assert layouts["model.embed_tokens.weight"] is None and layouts["lm_head.weight"] is None
    assert layouts["model.layers.0.mlp.up_proj.weight"] == "Q6_K"
    assert layouts["model.layers.0.mlp.down_proj.weight"] == "Q8_0"


@pytest.mark.parametrize(
    ("bits", "symmetric", "layout"),
    [
        (2, True, "Q2_K"),
        (3, False, "Q3_K"),
        (4, True, "Q4_0"),
        (4, False, "Q4_1"),
        (5, True, "Q5_0"),
        (8, True, "Q8_0"),
    ],
)
def test_plain_codes_become_the_nearest_blocks(bits: int, symmetric: bool, layout: str) -> None:
    layouts = given_to(checkpoint(), Scheme(bits, group_size=32, symmetric=symmetric))
    assert layouts["model.layers.0.mlp.up_proj.weight"] == layout


def test_codes_that_are_like_no_block_are_refused() -> None:
    found = checkpoint()
    layouts = given_to(found, Scheme(7))
    assert layouts["model.layers.0.mlp.up_proj.weight"] is None
    assert "no block type for W7" in Gguf().refuses(found.tensors[1], Scheme(7))
    assert "floating-point" in Gguf().refuses(
        found.tensors[1], Scheme(8, type="float", strategy="channel", group_size=None)
    )


def test_the_method_of_a_scheme_stays_with_its_blocks() -> None:
    found = checkpoint()
    schemes = [Scheme.of_layout("Q4_0", "mse")] * len(found.tensors)
    adapted = Gguf().bound(found).adapted(found, schemes, [False] * len(schemes))
    assert {scheme.method for scheme in adapted if scheme is not None} == {"mse"}


def test_norms_and_routers_are_kept_as_float32_and_matrices_as_they_are() -> None:
    found = checkpoint("MixtralForCausalLM", experts=4)
    format = Gguf().bound(found)
    kept = {tensor.name: format.kept(tensor)[0] for tensor in found.tensors}
    assert kept["model.norm.weight"][:3] == ("output_norm.weight", "F32", (WIDE,))
    assert kept["model.layers.0.block_sparse_moe.gate.weight"][:2] == ("blk.0.ffn_gate_inp.weight", "F32")
    assert kept["model.layers.0.self_attn.o_proj.weight"][:2] == ("blk.0.attn_output.weight", "BF16")
    assert kept["model.layers.1.block_sparse_moe.experts.3.w2.weight"][:3] == (
        "blk.1.ffn_down_exps.weight",
        "BF16",
        (1, WIDE, 96),
    )


def test_experts_share_a_tensor_and_must_have_one_type() -> None:
    found = checkpoint("MixtralForCausalLM", experts=4)
    format = Gguf().bound(found)
    stacks = [
        format.stack(tensor)
        for tensor in found.tensors
        if tensor.name.endswith("0.block_sparse_moe.experts.2.w1.weight")
    ]
    assert stacks == [2]
    schemes = [Scheme.of_layout("Q4_0") if ".experts." in t.name else None for t in found.tensors]
    format.adapted(found, schemes, [False] * len(schemes))
    schemes[-3] = Scheme.of_layout("Q8_0")
    with pytest.raises(PlanError, match="cannot be Q4_0 and Q8_0") as caught:
        format.adapted(found, schemes, [False] * len(schemes))
    assert caught.value.code == "stack"


def test_only_queries_and_keys_change_the_order_of_their_rows() -> None:
    found = checkpoint()
    format = Gguf().bound(found)
    moved = {tensor.name for tensor in found.tensors if format.row_positions(tensor) is not None}
    assert moved == {f"model.layers.{i}.self_attn.{name}_proj.weight" for i in range(2) for name in "qk"}


def test_a_tied_head_that_has_the_bytes_becomes_the_embedding() -> None:
    found = without(checkpoint(tie_word_embeddings=True), "model.embed_tokens.weight")
    assert Gguf().bound(found).kept(found.by_name["lm_head.weight"])[0].name == "token_embd.weight"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("model.embed_tokens.weight", "needs an embedding"),
        ("model.layers.1.mlp.up_proj.weight", r"needs blk\.1\.ffn_up\.weight"),
        ("model.layers.1.block_sparse_moe.experts.2.w1.weight", r"needs 4 experts in blk\.1\.ffn_gate_exps"),
    ],
)
def test_a_checkpoint_that_lacks_something_is_refused(missing: str, words: str) -> None:
    whole = checkpoint("MixtralForCausalLM", experts=4) if "experts" in missing else checkpoint()
    assert missing in whole.by_name
    with pytest.raises(PlanError, match=words):
        Gguf().bound(without(whole, missing))


def test_two_tensors_of_one_name_are_refused() -> None:
    found = checkpoint()
    twice = replace(found, tensors=(*found.tensors, info("model.language_model.norm.weight", WIDE)))
    with pytest.raises(PlanError, match=r"has one output_norm\.weight for"):
        Gguf().bound(twice)


def test_a_tensor_that_no_file_holds_is_named() -> None:
    found = checkpoint()
    whole = replace(found.tensors[-2], dtype="I64")
    with pytest.raises(PlanError, match=r"'model\.norm\.weight'.*I64"):
        Gguf().bound(found).kept(whole)


FLOATS = {"BF16": "<u2", "F16": "<f2", "F32": "<f4"}


@given(st.sampled_from(sorted(FLOATS)), st.lists(st.floats(-6e4, 6e4, width=16), max_size=50))
def test_kept_numbers_come_back_as_they_were(dtype: str, numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    if dtype == "BF16":
        values = (values.view("<u4") & 0xFFFF0000).view("<f4")
        source = (values.view("<u4") >> 16).astype("<u2").view(np.uint8)
    else:
        source = values.astype(FLOATS[dtype]).view(np.uint8)
    stored = to_float32(source, dtype, 0.0)
    assert np.array_equal(stored.view("<f4"), values)
    assert np.array_equal(from_float32(stored, dtype, 0.0), source)


def test_an_offset_is_added_in_float32() -> None:
    source = np.array([0x3F80, 0xBF80, 0x0001], "<u2").view(np.uint8)
    assert to_float32(source, "BF16", 1.0).view("<f4").tolist() == [2.0, 0.0, 1.0]


GOLDEN = {
    "Q8_0": "082481899199a1a9b1b9c0c8d0d8e0e8f0f8000810182028303840474f575f676f77",
    "Q4_0": "0034809191a2a2b3b3c4c4d5d5e6e6f7f7f8",
    "Q4_1": "223400c080809191a2a2b3b3c4c4d5d5e6e6f7f7",
    "Q5_0": "00300000ffff00112233445566778899aabbccddeeff",
    "Q5_1": "003000c00000ffff00112233445566778899aabbccddeeff",
}
"""(k - 16) / 8 for k from 0 to 31, as gguf-py 0.19 writes it."""
STEPS = {"Q8_0": (0, 1), "Q4_0": (8, 1), "Q4_1": (0, 1), "Q5_0": (16, 1), "Q5_1": (0, 1)}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bits_of_a_code_are_where_the_file_has_it(name: str) -> None:
    data = bytes.fromhex(GOLDEN[name])
    layout = LAYOUTS[name]
    places = [placement("t", layout, 0, k) for k in range(32)]
    codes = [p.code.read([data[column] for _, column in p.code.elements]) for p in places]
    scale = np.array([places[0].scale.read([data[c] for _, c in places[0].scale.elements])], "<u2").view("<f2")[0]
    if name == "Q8_0":
        codes = [code - 256 * (code > 127) for code in codes]
    lowest = float(np.frombuffer(data[2:4], "<f2")[0]) if name.endswith("_1") else -STEPS[name][0] * float(scale)
    values = np.array(codes) * float(scale) + lowest
    assert np.abs(values - (np.arange(32) - 16) / 8).max() <= abs(float(scale))


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"F16", "BF16"}))
def test_no_two_codes_of_a_block_share_a_bit(name: str) -> None:
    layout = LAYOUTS[name]
    taken: set[tuple[int, int]] = set()
    for k in range(layout.block):
        found = placement("t", layout, 3, layout.block + k)
        assert all(row == 3 and layout.nbytes <= column < 2 * layout.nbytes for row, column in found.code.elements)
        bits = {(found.code.elements[which][1], bit) for which, bit in found.code.bits}
        assert len(bits) == layout.bits and not bits & taken
        taken |= bits
    scale = {column for _, column in found.scale.elements}
    assert not scale & {column for column, _ in taken}


def test_a_file_says_whose_it_is_where_the_model_card_does() -> None:
    card = "---\nlicense: apache-2.0\nbase_model:\n- org/big-model\ntags: [x]\n---\n# Title\nlicense: none\n"
    found = {key: value.data for key, value in general("llama", "m", "Q4_K_M", card).items()}
    assert found["general.license"] == "apache-2.0"
    assert found["general.base_model.0.repo_url"] == "https://huggingface.co/org/big-model"
    assert (found["general.file_type"], found["general.quantization_version"]) == (15, 2)
    plain = general("llama", "m", "Q8_0", "# license: mit\n")
    assert "general.license" not in plain and "general.base_model.count" not in plain


def test_a_plan_says_that_only_the_text_part_is_written() -> None:
    text = checkpoint()
    seen = info("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", 8, 8)
    norms = [
        info(f"model.layers.{i}.{name}_feedforward_layernorm.weight", WIDE)
        for i in range(2)
        for name in ("pre", "post")
    ]
    said = config("Gemma3ForConditionalGeneration")
    said["text_config"] = {**said["text_config"], "hidden_size": WIDE, "head_dim": 16, "query_pre_attn_scalar": 16}
    whole = replace(text, tensors=(*text.tensors, *norms, seen), config=said)
    format = Gguf().bound(whole)
    assert format.kept(seen) == ()
    assert [warning.code for warning in format.warnings(whole, ())] == ["text-part"]
    assert not Gguf().bound(text).warnings(text, ())
