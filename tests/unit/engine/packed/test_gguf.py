"""GGUF files as a source. golden/blocks.gguf was written by gguf-py 0.19, whose `quants.dequantize` gave golden/blocks.npz.

Its blocks of K types are random bytes under small scales; both are rounded to float16, as the reader rounds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.errors import SourceError
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.audit import audit
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.formats.gguf.container import build_header, padded
from qtquant_app.formats.gguf.values import Value, f32, text, u32
from tests.checkpoints import small_llama
from tests.driving import result
from tests.unit.engine.packed.reading import GOLDEN, decoded

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
LLAMA = {
    "general.architecture": text("llama"),
    "llama.block_count": u32(2),
    "llama.embedding_length": u32(64),
    "llama.feed_forward_length": u32(128),
    "llama.attention.head_count": u32(4),
    "llama.attention.head_count_kv": u32(2),
    "llama.context_length": u32(512),
    "llama.attention.layer_norm_rms_epsilon": f32(1e-5),
}


def write_gguf(
    path: Path, metadata: Mapping[str, Value], tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]
) -> Path:
    table = [(name, type_, shape) for name, (type_, shape, _) in tensors.items()]
    header, _ = build_header(metadata, table)
    parts = [data + bytes(padded(len(data)) - len(data)) for _, _, data in tensors.values()]
    path.write_bytes(header + b"".join(parts))
    return path


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of q or k as llama.cpp has them: of each head the two halves in turn."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def in_gguf(base: Path, path: Path) -> Path:
    """A checkpoint of the tests as a GGUF file of float16 matrices and float32 norms."""
    tensors = {}
    for name, weight in load_file(base / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if module in WHOLE:
            called = WHOLE[module]
        else:
            _, _, block, rest = module.split(".", 3)
            called = f"blk.{block}.{NAMES[rest]}"
            heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(rest)
            weight = interleaved(weight, heads) if heads else weight
        values = weight.float().numpy()
        type_, kind = ("F16", np.float16) if values.ndim == 2 else ("F32", np.float32)
        tensors[f"{called}.weight"] = (type_, tuple(values.shape), values.astype(kind).tobytes())
    return write_gguf(path, LLAMA, tensors)


def test_every_block_type_decodes_as_gguf_py_decodes_it() -> None:
    checkpoint = open_checkpoint(GOLDEN / "blocks.gguf")
    with np.load(GOLDEN / "blocks.npz") as expected:
        assert set(expected.files) == {tensor.name for tensor in checkpoint.tensors} and len(expected.files) == 13
        for name in expected.files:
            for step in (0, 1):
                found = decoded(checkpoint, name, step)
                assert np.array_equal(found.float().numpy(), expected[name].astype(np.float32)), name
    assert checkpoint.packed_by == "gguf" and checkpoint.config == {}
    assert checkpoint.by_name["q4_k.weight"].packed.label == "GGUF Q4_K"


def test_a_gguf_file_is_the_checkpoint_that_it_was_made_of(tmp_path: Path) -> None:
    base = open_checkpoint(small_llama(tmp_path / "base"))
    found = open_checkpoint(in_gguf(tmp_path / "base", tmp_path / "model.gguf"))
    assert {t.name: (t.shape, t.kind) for t in found.tensors} == {t.name: (t.shape, t.kind) for t in base.tensors}
    for tensor in base.tensors:
        whole = decoded(found, tensor.name)
        assert torch.equal(whole.to(torch.bfloat16), decoded(base, tensor.name).to(torch.float16).to(torch.bfloat16))
        assert torch.equal(decoded(found, tensor.name, 5), whole)
    wanted = json.loads((tmp_path / "base" / "config.json").read_text())
    assert {key: found.config.get(key) for key in wanted} == wanted
    assert found.architecture == "LlamaForCausalLM" and found.packed_by == ""
    assert found.by_name["model.layers.0.mlp.up_proj.weight"].kind is Kind.LINEAR


def test_a_gguf_file_is_audited_and_quantized_like_any_other(tmp_path: Path) -> None:
    base = open_checkpoint(small_llama(tmp_path / "base"))
    source = open_checkpoint(in_gguf(tmp_path / "base", tmp_path / "model.gguf"))
    report = result(audit(source, base))
    assert {tensor.state for tensor in report.tensors} == {"kept"} and report.missing == () == report.extra
    plan = make_plan(source, Recipe(Scheme(bits=8, group_size=32)), device="cpu")
    assert "already-quantized" not in [warning.code for warning in plan.warnings]
    result(run(plan, RunOptions(str(tmp_path / "out"))))
    assert result(audit(open_checkpoint(tmp_path / "out"), base)).errors.relative_error < 0.01


def test_stacks_of_experts_come_apart_and_norms_lose_what_was_added(tmp_path: Path) -> None:
    stack = np.arange(3 * 4 * 32, dtype=np.float16).reshape(3, 4, 32) / 64
    qwen = {key.replace("llama", "qwen3moe"): value for key, value in LLAMA.items()}
    qwen |= {"general.architecture": text("qwen3moe"), "qwen3moe.expert_count": u32(3)}
    tensors = {"blk.1.ffn_up_exps.weight": ("F16", stack.shape, stack.tobytes())}
    found = open_checkpoint(write_gguf(tmp_path / "experts.gguf", qwen, tensors))
    assert [tensor.name for tensor in found.tensors] == [
        f"model.layers.1.mlp.experts.{e}.up_proj.weight" for e in range(3)
    ]
    for at, tensor in enumerate(found.tensors):
        assert tensor.kind is Kind.EXPERT and np.array_equal(decoded(found, tensor.name).numpy(), stack[at])

    gemma = {key.replace("llama", "gemma2"): value for key, value in LLAMA.items()}
    gemma["general.architecture"] = text("gemma2")
    norm = np.linspace(0.5, 1.5, 64, dtype=np.float32)
    tensors = {"output_norm.weight": ("F32", (64,), norm.tobytes())}
    found = open_checkpoint(write_gguf(tmp_path / "norm.gguf", gemma, tensors))
    assert np.array_equal(decoded(found, "model.norm.weight", 64).numpy(), norm - 1)


def test_biases_of_q_are_put_in_order_too(tmp_path: Path) -> None:
    bias = torch.arange(64.0)
    tensors = {"blk.0.attn_q.bias": ("F32", (64,), interleaved(bias, 4).numpy().tobytes())}
    found = open_checkpoint(write_gguf(tmp_path / "bias.gguf", LLAMA, tensors))
    (tensor,) = found.tensors
    assert tensor.name == "model.layers.0.self_attn.q_proj.bias"
    assert torch.equal(decoded(found, tensor.name, 64), bias)


def test_what_cannot_be_decoded_and_folders_of_several_models_are_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", LLAMA, {"blk.0.ffn_up.weight": ("IQ4_NL", (1, 32), bytes(18))})
    with pytest.raises(SourceError, match=r"a\.gguf holds 'blk\.0\.ffn_up\.weight' as IQ4_NL"):
        open_checkpoint(tmp_path)
    write_gguf(tmp_path / "b.gguf", LLAMA, {})
    with pytest.raises(SourceError, match="2 GGUF files, of more than one model"):
        open_checkpoint(tmp_path)
    write_gguf(tmp_path / "c-00001-of-00002.gguf", LLAMA, {})
    with pytest.raises(SourceError, match="is one of 2 parts, and 1 are there"):
        open_checkpoint(tmp_path / "c-00001-of-00002.gguf")
