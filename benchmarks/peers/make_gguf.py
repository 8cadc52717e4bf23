"""Writes a Llama-shaped bfloat16 checkpoint as a float16 GGUF with as little metadata as llama.cpp's quantize accepts.

usage: python make_gguf.py FOLDER OUT.gguf        (needs: pip install gguf numpy)
It is for timing only: there is no tokenizer, and the rows of q and k keep the order of the checkpoint.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray


def tensors(folder: Path) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Names of the tensors and their bfloat16 bits, as views of the files."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            header: dict[str, Any] = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        data = np.memmap(path, np.uint8, "r", 8 + length)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            yield name, data[begin:end].view(np.uint16).reshape(entry["shape"])


def converted(bits: NDArray[np.uint16]) -> NDArray[Any]:
    """Matrices as float16, vectors as float32, which is what llama.cpp's own converter does."""
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float16) if bits.ndim > 1 else values


def write(folder: Path, out: Path) -> None:
    """Streams the checkpoint into `out`, a tensor at a time."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(out, "llama")
    _add_metadata(writer, config)
    names = gguf.TensorNameMap(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    found = list(tensors(folder))
    for name, bits in found:
        dtype = np.dtype(np.float16 if bits.ndim > 1 else np.float32)
        target = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor_info(target, bits.shape, dtype, bits.size * dtype.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, bits in found:
        writer.write_tensor_data(converted(bits))
    writer.close()


def _add_metadata(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
