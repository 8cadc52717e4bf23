"""Opens GGUF files as a source: their tensors as float weights under transformers' names, and a config.json from the metadata.

Where llama.cpp's architecture is none of those that `formats.gguf` writes, tensors keep llama.cpp's names.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import nbytes
from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import shown
from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.remote import Remote
from qtquant_app.engine.packed.gguf import PLAIN, packed_as
from qtquant_app.formats.gguf.architectures import ARCHITECTURES
from qtquant_app.formats.gguf.architectures.base import Architecture, row_positions
from qtquant_app.formats.gguf.container import GgufHeader, parse_gguf_header

SUFFIX = ".gguf"

_SPLIT = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")
_BLOCK = re.compile(r"blk\.(\d{1,5})\.([\w.]+)\.(weight|bias)")
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_MODEL_TYPES = {"qwen3moe": "qwen3_moe", "gemma3": "gemma3_text"}
"""What transformers calls an architecture, where not as llama.cpp does."""
_COUNTS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "head_dim": "attention.key_length",
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "sliding_window": "attention.sliding_window",
}
_NUMBERS = {"rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base"}


def siblings(present: Iterable[str], file: str) -> list[str]:
    """All files of a GGUF model that was split, among those that are there, in order; a file that is whole stands alone."""
    split = _SPLIT.fullmatch(file)
    if split is None:
        return [file]
    names = sorted(name for name in present if (m := _SPLIT.fullmatch(name)) and m[1] == split[1])
    if len(names) != int(split[2]):
        raise SourceError(
            f"{file} is one of {int(split[2]):,} parts, and {len(names):,} are there",
            hint="fetch the rest",
            code="index",
        )
    return names


def only_model(present: Iterable[str], label: str) -> list[str]:
    """The files of the one GGUF model among the files of a folder. Raises SourceError where there is more than one."""
    names = sorted(name for name in present if name.endswith(SUFFIX))
    files = siblings(names, names[0])
    if len(files) != len(names):
        raise SourceError(
            f"{label} holds {len(names):,} GGUF files, of more than one model", hint="open one of them", code="several"
        )
    return files


def read_model(
    root: Path, files: Sequence[str], remote: Remote | None = None
) -> tuple[dict[str, Any], list[TensorInfo], list[TensorInfo]]:
    """The config, the tensors as stored, and the float tensors that they stand for, of all files of a GGUF model."""
    headers = [read_gguf(root, file, remote) for file in files]
    lying = [tensor for header, file in zip(headers, files, strict=True) for tensor in stored(header, file)]
    return config_of(headers[0], lying), lying, weights(headers[0], lying)


def read_gguf(root: Path, file: str, remote: Remote | None = None) -> GgufHeader:
    """The header of a GGUF file, which may be one that `remote` has. Raises SourceError naming the file where it cannot be read."""
    try:
        if remote is not None:
            with remote.open(file) as away:
                return parse_gguf_header(partial(_read_at, away), remote.size(file))
        path = root / file
        with path.open("rb") as stream:
            return parse_gguf_header(partial(_read_at, stream), path.stat().st_size)
    except ValueError as error:
        raise SourceError(f"{file} {error}", hint="fetch it again", code="gguf") from None
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the path", code="read") from None


def _read_at(stream: BinaryIO | io.RawIOBase, offset: int, count: int) -> bytes:
    stream.seek(offset)
    return stream.read(count) or b""


def stored(header: GgufHeader, file: str) -> list[TensorInfo]:
    """The tensors as they lie in `file`; a quantized one has its type's name for a dtype."""
    return [TensorInfo(t.name, t.type.name, t.shape, file, t.offset, t.nbytes) for t in header.tensors]


def weights(metadata: GgufHeader, tensors: Sequence[TensorInfo]) -> list[TensorInfo]:
    """The float tensors that stored ones stand for, under transformers' names where the architecture is known.

    Raises SourceError naming a tensor of a type that is not decoded here.
    """
    architecture = _architecture(metadata)
    return [weight for tensor in tensors for weight in _weights(metadata, architecture, tensor)]


def _architecture(metadata: GgufHeader) -> Architecture | None:
    name = metadata.get("general.architecture")
    experts = _count(metadata, "expert_count") or 0
    known = [a for a in ARCHITECTURES if a.name == name and bool(a.experts) == (experts > 0)]
    return known[0] if known and _count(metadata, "attention.head_count") else None


def _weights(metadata: GgufHeader, architecture: Architecture | None, tensor: TensorInfo) -> Iterator[TensorInfo]:
    if architecture is not None:
        name = _WHOLE.get(tensor.name)
        if name is not None:
            yield _weight(name, tensor, 0, architecture.norm_offset if name == "model.norm.weight" else 0.0)
            return
        found = _BLOCK.fullmatch(tensor.name)
        module = _module(architecture.block, found[2]) if found else None
        if found and module:
            heads = _heads(metadata, architecture, module, tensor)
            offset = architecture.norm_offset if module.endswith("norm") else 0.0
            yield _weight(f"model.layers.{found[1]}.{module}.{found[3]}", tensor, heads, offset)
            return
        stack = _module(architecture.experts, found[2]) if found else None
        if found and stack and len(tensor.shape) == 3 and tensor.shape[0]:
            yield from _slices(f"model.layers.{found[1]}", stack, found[3], tensor)
            return
    yield _weight(tensor.name, tensor, 0, 0.0)


def _module(names: Mapping[str, str], called: str) -> str | None:
    """What transformers calls a part of a block that llama.cpp calls `called`."""
    return next((module for module, name in names.items() if name == called), None)


def _slices(block: str, stack: str, part: str, tensor: TensorInfo) -> Iterator[TensorInfo]:
    """Each expert of a stack as a tensor of its own."""
    experts, _, projection = stack.rpartition(".")
    size = tensor.nbytes // tensor.shape[0]
    for at in range(tensor.shape[0]):
        one = TensorInfo(tensor.name, tensor.dtype, tensor.shape[1:], tensor.file, tensor.offset + at * size, size)
        yield _weight(f"{block}.{experts}.{at}.{projection}.{part}", one, 0, 0.0)


def _heads(metadata: GgufHeader, architecture: Architecture, module: str, tensor: TensorInfo) -> int:
    """How many heads' rows are interleaved; 0 where they lie as transformers has them."""
    key = {"self_attn.q_proj": "attention.head_count", "self_attn.k_proj": "attention.head_count_kv"}.get(module)
    heads = (
        _count(metadata, key) or _count(metadata, "attention.head_count") or 0 if key and architecture.permuted else 0
    )
    try:
        return heads if heads and tensor.shape and row_positions(tensor.shape[0], heads) is not None else 0
    except ValueError as error:
        raise SourceError(f"{tensor.file}: {tensor.name}: {error}", hint="fetch it again", code="gguf") from None


def _weight(name: str, tensor: TensorInfo, heads: int, offset: float) -> TensorInfo:
    type_, shape = tensor.dtype, tensor.shape
    if type_ not in PLAIN and type_ not in LAYOUTS:
        if type_ in ("I8", "I16", "I32", "I64", "F64"):
            return TensorInfo(name, type_, shape, tensor.file, tensor.offset, tensor.nbytes)
        raise SourceError(
            f"{tensor.file} holds {shown(tensor.name)} as {type_}, which is not decoded here",
            hint=f"open a file of the types {', '.join(LAYOUTS)}",
            code="gguf-type",
        )
    if type_ in PLAIN and not heads and not offset:
        return TensorInfo(name, type_, shape, tensor.file, tensor.offset, tensor.nbytes)
    dtype = type_ if type_ in PLAIN else "F16"
    packed = packed_as(type_, tensor, heads, offset)
    return TensorInfo(name, dtype, shape, tensor.file, 0, nbytes(dtype, shape), packed=packed)


def _count(metadata: GgufHeader, key: str | None) -> int | None:
    """A whole number of the architecture's own metadata."""
    value = metadata.get(f"{metadata.get('general.architecture')}.{key}")
    return value if type(value) is int and 0 < value < 1 << 31 else None


def config_of(metadata: GgufHeader, tensors: Sequence[TensorInfo]) -> dict[str, Any]:
    """As much of a config.json as the metadata say; empty where the architecture is not known."""
    architecture = _architecture(metadata)
    if architecture is None:
        return {}
    config: dict[str, Any] = {
        "architectures": [architecture.classes[0]],
        "model_type": _MODEL_TYPES.get(architecture.name, architecture.name),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in tensors),
    }
    if architecture.name == "llama" and architecture.experts:
        config["model_type"] = "mixtral"
    config |= {key: count for key, name in _COUNTS.items() if (count := _count(metadata, name)) is not None}
    for key, name in _NUMBERS.items():
        value = metadata.get(f"{architecture.name}.{name}")
        if type(value) is float:
            config[key] = value
    words = next((t.shape[0] for t in tensors if t.name == "token_embd.weight" and len(t.shape) == 2), None)
    return config if words is None else config | {"vocab_size": words}
