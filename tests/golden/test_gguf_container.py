"""Our GGUF headers in the eyes of gguf-py, and its files in ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qtquant_app.formats.gguf import values
from qtquant_app.formats.gguf.container import build_header, padded, parse_gguf_header
from qtquant_app.formats.gguf.tensor_types import BY_NAME
from qtquant_app.formats.gguf.values import Value, ValueType

gguf = pytest.importorskip("gguf")

METADATA = {
    "general.architecture": values.text("llama"),
    "llama.block_count": values.u32(3),
    "llama.rope.freq_base": values.f32(1e5),
    "tokenizer.ggml.tokens": values.texts(["<s>", "\u0120a", "\U0001f680"]),
    "tokenizer.ggml.scores": values.f32s([0.0, -1.5, -2.0]),
    "tokenizer.ggml.token_type": values.i32s([3, 1, 1]),
    "tokenizer.ggml.add_bos_token": values.boolean(True),
    "x.bytes": values.u8s(b"\x00\xff"),
    "x.long": Value(ValueType.INT64, -(2**40)),
    "x.double": Value(ValueType.FLOAT64, 0.1),
}


def test_gguf_py_reads_what_we_write(tmp_path: Path) -> None:
    tensors = [("a.weight", "Q4_K", (3, 512)), ("b", "F32", (5,)), ("stack.weight", "Q8_0", (2, 3, 64))]
    header, laid = build_header(METADATA, tensors)
    body = np.random.default_rng(0).integers(
        0, 255, padded(laid.tensors[-1].offset + laid.tensors[-1].nbytes), np.uint8
    )
    body[: len(header)] = np.frombuffer(header, np.uint8)
    (tmp_path / "x.gguf").write_bytes(body.tobytes())
    found = gguf.GGUFReader(tmp_path / "x.gguf")
    for key, value in METADATA.items():
        read = found.fields[key].contents()
        want = list(value.data) if value.items is not None else value.data
        assert read == pytest.approx(want) if not isinstance(want, str) else read == want
    for tensor, placed in zip(found.tensors, laid.tensors, strict=True):
        assert (tensor.name, tensor.tensor_type.name) == (placed.name, placed.type.name)
        assert tuple(int(side) for side in tensor.shape[::-1]) == placed.shape
        assert (tensor.data_offset, tensor.n_bytes) == (placed.offset, placed.nbytes)
        assert bytes(tensor.data.tobytes()) == body[placed.offset : placed.offset + placed.nbytes].tobytes()


def test_we_read_what_gguf_py_writes(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "qwen3")
    writer.add_block_count(7)
    writer.add_token_list(["a", "b c"])
    writer.add_token_scores([0.5, -1.0])
    writer.add_add_bos_token(False)
    writer.add_tensor("w", np.arange(64, dtype=np.float32).reshape(2, 32))
    writer.add_tensor("q", np.zeros((4, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = (tmp_path / "x.gguf").read_bytes()
    found = parse_gguf_header(lambda offset, count: data[offset : offset + count], len(data))
    assert found.get("general.architecture") == "qwen3" and found.get("qwen3.block_count") == 7
    assert found.get("tokenizer.ggml.tokens") == ("a", "b c")
    assert found.get("tokenizer.ggml.scores").tolist() == [0.5, -1.0]
    assert found.get("tokenizer.ggml.add_bos_token") is False
    assert [(t.name, t.type.name, t.shape) for t in found.tensors] == [("w", "F32", (2, 32)), ("q", "Q8_0", (4, 32))]
    first = found.tensors[0]
    assert np.array_equal(np.frombuffer(data[first.offset :][: first.nbytes], "<f4"), np.arange(64))


def test_our_table_of_types_is_that_of_gguf_py() -> None:
    sizes = {type_.name: (int(type_), *size) for type_, size in gguf.GGML_QUANT_SIZES.items()}
    of_activations = {"Q8_1", "Q8_K"}
    assert {n: (t.number, t.weights, t.bytes) for n, t in BY_NAME.items()} == {
        name: size for name, size in sizes.items() if name not in of_activations
    }
