"""compressed-tensors: `pack-quantized` (weights of 2 to 8 bits), `int-quantized` (8-bit weights and activations), and the layouts
of `compressed_tensors_floats`.

Layout as compressed-tensors 0.20 writes it (compressors/pack_quantized, compressors/naive_quantized); 3, 5, 6 and 7 bits
are dense since 0.18.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.placement import Placement, Slot
from qtquant_app.core.plan import Role, TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import compressed_tensors_floats as floats
from qtquant_app.formats.base import (
    Bytes,
    Format,
    Parameters,
    Stored,
    as_bytes,
    dense_slot,
    raw_dtype,
    scale_index,
    scale_shape,
    whole_slot,
)
from qtquant_app.formats.reader_names import ReaderNames, reader_names
from qtquant_app.quant.floats import is_float
from qtquant_app.quant.kernels.packing import pack, unpack

LAYOUT_VERSION = "0.20.0"
"""The compressed-tensors release whose layout this is; readers compare it."""

_WORD_BITS = 32
_HEAD = "lm_head"
"""The head of causal language models. Tied to the embedding it has no tensor of its own, yet is a Linear module to a reader."""

_USUAL = re.compile(r"model\.layers\.\d+\.(self_attn|mlp)\.[\w.]+")
"""Names of linear layers in causal language models that transformers 5 leaves as they are."""


class CompressedTensors(Format):
    name = "compressed-tensors"
    title = "compressed-tensors"
    description = (
        "what vLLM and transformers load as it is: packed integers, int8 weights and activations, FP8, NVFP4, MXFP4"
    )
    bits = (2, 3, 4, 5, 6, 7, 8)
    codes = ("int", "float")
    readers = ("vLLM", "transformers with compressed-tensors>=0.18")
    align = 4

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        columns = tensor.shape[1]
        if scheme.strategy == "group" and scheme.group_size is not None and columns % scheme.group_size:
            return f"group size {scheme.group_size} does not divide its {columns} columns"
        return super().refuses(tensor, scheme)

    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        if is_float(scheme):
            return floats.stored(tensor, scheme)
        module = tensor.module
        parts = _parts(tensor.dtype, tensor.shape, scale_shape(tensor, scheme), scheme)
        return tuple([Stored(f"{module}.{name}", dtype, shape, role) for name, dtype, shape, role in parts])

    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        return packed ^ np.uint8(0x80) if scheme.activations == "int8" else packed

    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        return rows ^ np.uint8(0x80) if scheme.activations == "int8" else rows

    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        if is_float(scheme):
            return floats.encode_parameters(parameters)
        encoded: dict[Role, Bytes] = {"scale": as_bytes(parameters.scale)}
        if scheme.activations == "int8":
            return encoded
        encoded["shape"] = as_bytes(np.array(tensor.shape, "<i8"))
        if parameters.zero is not None:
            encoded["zero"] = _encode_zero(parameters.zero, scheme)
        return encoded

    def rows_together(self, scheme: Scheme) -> int:
        # Zero points are packed down the rows: so many of them fill whole words.
        return 1 if scheme.symmetric or scheme.strategy == "tensor" else _WORD_BITS // gcd(_WORD_BITS, scheme.bits)

    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        if is_float(scheme):
            return floats.decode_parameters(tensor, scheme, stored)
        if "shape" in stored and tuple(stored["shape"].view("<i8").tolist()) != tensor.shape:
            raise ValueError(f"weight_shape says {stored['shape'].view('<i8').tolist()}, not {list(tensor.shape)}")
        rows, groups = (1, 1) if scheme.strategy == "tensor" else scale_shape(tensor, scheme)
        scale = stored["scale"].view(raw_dtype(tensor.dtype)).reshape(rows, groups)
        zero = None if scheme.symmetric else _decode_zero(stored["zero"], rows, groups, scheme)
        return Parameters(scale, zero)

    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        if is_float(scheme):
            return floats.place(tensor, scheme, row, column)
        stored = {part.role: part for part in self.stored(tensor, scheme)}
        codes, scale, zero = stored["codes"], stored["scale"], stored.get("zero")
        index = scale_index(scheme, row, column)
        if scheme.activations == "int8":
            code = whole_slot(codes.name, codes.dtype, (row, column), less=1 << (scheme.bits - 1))
        else:
            code = dense_slot(codes.name, codes.dtype, column, scheme.bits, lambda word: (row, word))
        return Placement(
            code,
            whole_slot(scale.name, scale.dtype, index),
            None if zero is None else _zero_slot(zero, scheme, index),
        )

    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        names = _names(checkpoint, tensors)
        modules = _by_scheme(tensors)
        groups = {
            f"group_{i}": _group(scheme, ["Linear"] if i == 0 else _both(modules[scheme], names))
            for i, scheme in enumerate(modules)
        }
        formats = {group["format"] for group in groups.values()}
        return {
            "quant_method": "compressed-tensors",
            "format": formats.pop() if len(formats) == 1 and len(groups) == 1 else "mixed-precision",
            "quantization_status": "compressed",
            "version": LAYOUT_VERSION,
            "config_groups": groups,
            "ignore": [*_ignored(tensors, names), *_in_stacks(checkpoint, tensors)],
            "kv_cache_scheme": None,
            "global_compression_ratio": None,
            "transform_config": {},
        }

    def taken_apart(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> frozenset[str]:
        return _names(checkpoint, tensors).converted


def _in_stacks(checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> list[str]:
    """The experts of stacks that stay whole, by the names that readers ask for who take stacks apart."""
    whole = {tensor.name for tensor in tensors if len(tensor.shape) == 3} if checkpoint.stacks else set()
    stacks = [stack for stack in checkpoint.stacks if stack.tensor.name in whole]
    return [name.removesuffix(".weight") for stack in stacks for name in stack.names()]


_Part = tuple[str, str, tuple[int, ...], Role]
"""Last part of a stored tensor's name, its dtype, shape and role."""


@lru_cache(maxsize=4096)
def _parts(dtype: str, shape: tuple[int, ...], scales: tuple[int, ...], scheme: Scheme) -> tuple[_Part, ...]:
    """What is stored for a weight of `shape`: the experts of a model have it all in common."""
    rows, columns = shape
    scale: _Part = ("weight_scale", dtype, scales, "scale")
    if scheme.activations == "int8":
        return ("weight", "I8", (rows, columns), "codes"), scale
    packed: _Part = ("weight_packed", "I32", (rows, _words(columns, scheme.bits)), "codes")
    parts: tuple[_Part, ...] = (packed, scale, ("weight_shape", "I64", (2,), "shape"))
    return parts if scheme.symmetric else (*parts, _zero_point(scales, scheme))


def _words(codes: int, bits: int) -> int:
    return -(-codes * bits // _WORD_BITS)


def _zero_point(shape: tuple[int, ...], scheme: Scheme) -> _Part:
    if len(shape) == 1:
        return "weight_zero_point", "I8", shape, "zero"
    return "weight_zero_point", "I32", (_words(shape[0], scheme.bits), shape[1]), "zero"


def _encode_zero(zero: Bytes, scheme: Scheme) -> Bytes:
    """Zero points [rows, groups] as packed words [ceil(rows*bits/32), groups]; a single one as a signed byte."""
    if scheme.strategy == "tensor":
        return as_bytes(zero - np.uint8(1 << (scheme.bits - 1)))
    columns = pack(np.ascontiguousarray(zero.T), scheme.bits, 4)
    return as_bytes(columns.view("<u4").T)


def _zero_slot(zero: Stored, scheme: Scheme, index: tuple[int, ...]) -> Slot:
    if scheme.strategy == "tensor":
        return whole_slot(zero.name, zero.dtype, index, less=1 << (scheme.bits - 1))
    row, group = index
    return dense_slot(zero.name, zero.dtype, row, scheme.bits, lambda word: (word, group))


def _decode_zero(stored: Bytes, rows: int, groups: int, scheme: Scheme) -> Bytes:
    if scheme.strategy == "tensor":
        return (stored + np.uint8(1 << (scheme.bits - 1))).reshape(1, 1)
    words = stored.view("<u4").reshape(_words(rows, scheme.bits), groups)
    columns = np.ascontiguousarray(words.T).view(np.uint8)
    return np.ascontiguousarray(unpack(columns, scheme.bits, rows).T)


def _group(scheme: Scheme, targets: list[str]) -> dict[str, Any]:
    if is_float(scheme):
        return {"targets": targets, "output_activations": None, **floats.group_config(scheme)}
    weights: dict[str, Any] = {
        "num_bits": scheme.bits,
        "type": "int",
        "symmetric": scheme.symmetric,
        "strategy": scheme.strategy,
        "dynamic": False,
    }
    if scheme.group_size is not None:
        weights["group_size"] = scheme.group_size
    activations = None
    if scheme.activations == "int8":
        activations = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    return {
        "targets": targets,
        "weights": weights,
        "input_activations": activations,
        "output_activations": None,
        "format": "int-quantized" if scheme.activations == "int8" else "pack-quantized",
    }


def _by_scheme(tensors: Sequence[TensorPlan]) -> dict[Scheme, list[str]]:
    """Modules by scheme. The first is the one that `Linear` stands for: that of the experts, where there are any, since readers
    look for theirs there; then that of most modules."""
    objects = {id(t.scheme): t.scheme for t in tensors if t.scheme is not None}
    modules: dict[Scheme, list[str]] = {scheme: [] for scheme in objects.values()}
    # By identity: a scheme takes long to hash, tens of thousands of times.
    lists = {key: modules[scheme] for key, scheme in objects.items()}
    for tensor in tensors:
        if tensor.scheme is not None:
            lists[id(tensor.scheme)].append(tensor.module)
    counts = Counter(id(tensor.scheme) for tensor in tensors if tensor.kind == Kind.EXPERT)
    experts: Counter[Scheme] = Counter()
    for key, scheme in objects.items():
        experts[scheme] += counts[key]
    ordered = sorted(modules, key=lambda scheme: (-experts[scheme], -len(modules[scheme])))
    return {scheme: modules[scheme] for scheme in ordered}


def _names(checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> ReaderNames:
    """What transformers calls the modules, asked only where it matters: it costs seconds to load.

    A causal language model needs no names in its config but its head's where all linear layers get one scheme, nor where
    they are called as transformers itself calls them.
    """
    linear = [t for t in tensors if t.kind in (Kind.LINEAR, Kind.EXPERT) and len(t.shape) == 2]
    schemes = set({id(t.scheme): t.scheme for t in tensors if t.scheme is not None}.values())
    alike = len(schemes) == 1 and all(t.scheme is not None for t in linear)
    if checkpoint.architecture.endswith("ForCausalLM") and (alike or all(_USUAL.fullmatch(t.module) for t in linear)):
        return ReaderNames()
    return reader_names(checkpoint.config, (tensor.name for tensor in checkpoint.tensors))


def _both(modules: Sequence[str], names: ReaderNames) -> list[str]:
    """Each module by its checkpoint name, for vLLM, and by those it has in transformers."""
    return [name for module in modules for name in (module, *names.linear.get(module, ()))]


def _ignored(tensors: Sequence[TensorPlan], names: ReaderNames) -> list[str]:
    """Linear modules that stay in float, or that only the model has."""
    linear = {Kind.LINEAR, Kind.EXPERT, Kind.HEAD, Kind.OTHER}
    kept = [t.module for t in tensors if t.action == "keep" and t.kind in linear and len(t.shape) == 2]
    quantized = {t.module for t in tensors if t.action == "quantize"}
    listed = dict.fromkeys((*_both(kept, names), *names.unfilled, *(() if _HEAD in quantized else (_HEAD,))))
    return list(listed)
