"""A checkpoint of names alone, and previews computed in plain numpy: the Inspect page without engine or files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.plan import Action, Plan, TensorPlan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.preview import Preview
from qtquant_app.gui.layer_rules import scheme_for
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work, once

ROWS, COLUMNS = 48, 256
LINEARS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.down_proj",
)
NORM = "model.layers.0.input_layernorm.weight"
LAYER = "model.layers.0.self_attn.q_proj.weight"
OTHER_LAYER = "model.layers.1.mlp.down_proj.weight"


def tensor(name: str, shape: tuple[int, ...] = (ROWS, COLUMNS), kind: Kind = Kind.LINEAR) -> TensorInfo:
    return TensorInfo(name, "BF16", shape, "model.safetensors", 0, 2 * int(np.prod(shape)), kind)


def checkpoint(blocks: int = 12) -> Checkpoint:
    found = [
        tensor("model.embed_tokens.weight", (512, COLUMNS), Kind.EMBEDDING),
        tensor("model.norm.weight", (COLUMNS,), Kind.NORM),
        tensor("lm_head.weight", (512, COLUMNS), Kind.HEAD),
    ]
    for block in range(blocks):
        found += [tensor(f"model.layers.{block}.{linear}.weight") for linear in LINEARS]
        found += [
            tensor(f"model.layers.{block}.{norm}.weight", (COLUMNS,), Kind.NORM)
            for norm in ("input_layernorm", "post_attention_layernorm")
        ]
    place = Path("/nowhere")
    return Checkpoint(
        root=place, path=place, label="made up", tensors=tuple(found), weight_files=("model.safetensors",)
    )


def plan_for(checkpoint: Checkpoint, recipe: Recipe | None = None) -> Plan:
    """The schemes that `recipe` gives, without the planner's sums."""
    recipe = recipe or Recipe()

    def planned(info: TensorInfo) -> TensorPlan:
        scheme = scheme_for(recipe, info) if info.quantizable else None
        action: Action = "quantize" if scheme else "keep"
        return TensorPlan(
            info.name, info.module, info.kind, info.dtype, info.shape, action, scheme, 1, "a reason", info.nbytes
        )

    words = dict.fromkeys(("source", "label", "fingerprint", "architecture"), "")
    costs: dict[str, Any] = dict.fromkeys(
        ("output_bytes", "bits_per_weight", "peak_ram_bytes", "peak_device_bytes", "disk_bytes", "seconds_estimate"), 0
    )
    tensors = tuple(planned(info) for info in checkpoint.tensors)
    return Plan(**words, **costs, recipe=recipe, tensors=tensors, files=(), texts={}, copied={})


def weights(rows: int = ROWS, columns: int = COLUMNS, seed: int = 0) -> np.ndarray:
    """Gaussian weights, a few channels and columns of them larger than the rest."""
    random = np.random.default_rng(seed)
    found = 0.02 * random.standard_normal((rows, columns), dtype=np.float32)
    found[random.choice(rows, 2, replace=False)] *= 4
    found[:, random.choice(columns, 2, replace=False)] *= 6
    return found


def synthetic(layer: str, scheme: Scheme, source: np.ndarray, cells: tuple[int, int] = (1, 0)) -> Preview:
    """A Preview of float32 `source`, symmetric whatever the scheme says; `cells` are the rows and columns of a map cell."""
    rows, columns = source.shape
    size = min(scheme.group_size or columns, columns)
    decoded, scales = np.empty_like(source), []
    for start in range(0, columns, size):
        part = source[:, start : start + size]
        scale = np.maximum(np.abs(part).max(axis=1, keepdims=True), 1e-12) / ((scheme.levels - 1) / 2)
        half = scheme.levels // 2
        decoded[:, start : start + size] = np.clip(np.rint(part / scale), -half, half - 1) * scale
        scales.append(scale)
    error = source - decoded
    down, across = cells[0], cells[1] or size
    return Preview(
        layer=layer,
        scheme=scheme,
        dtype="BF16",
        shape=source.shape,
        errors=ErrorSums(
            source.size,
            float(np.sum(error.astype(float) ** 2)),
            float(np.sum(source.astype(float) ** 2)),
            float(np.sum(decoded.astype(float) ** 2)),
            float(np.abs(error).max()),
        ),
        bytes=source.size * scheme.bits // 8 + 2 * rows * len(scales),
        bits_per_weight=scheme.bits + 16 / size,
        weight_range=(float(source.min()), float(source.max())),
        histogram_edges=np.linspace(source.min(), source.max(), 129),
        histogram_counts=np.histogram(source, 128)[0].astype(np.int64),
        levels=((np.arange(scheme.levels) - scheme.levels // 2) * np.median(scales)).astype(np.float32),
        error_map=_blocks(np.abs(error), down, across, np.maximum),
        map_rows_per_cell=down,
        map_columns_per_cell=across,
        channel_relative_error=np.sqrt((error**2).sum(1) / (source**2).sum(1)),
        group_relative_error=np.sqrt(
            _blocks(error**2, rows, across, np.add)[0] / _blocks(source**2, rows, across, np.add)[0]
        ),
    )


def _blocks(values: np.ndarray, down: int, across: int, reduce: np.ufunc) -> np.ndarray:
    values = reduce.reduceat(values, np.arange(0, values.shape[0], down), axis=0)
    return reduce.reduceat(values, np.arange(0, values.shape[1], across), axis=1)


class ScriptedVerbs(Verbs):
    """Plans and previews made here; `asked` lists the requests, `refusal` is raised in place of an answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Scheme]] = []
        self.refusal: QtQuantError | None = None
        self.source: Callable[[str], np.ndarray] = lambda layer: weights(seed=len(layer))

    def plan(self, checkpoint: Checkpoint, recipe: Recipe, *choices: object, **more: object) -> Work:
        return once(lambda: plan_for(checkpoint, recipe))

    def preview(self, checkpoint: Checkpoint, layer: str, scheme: Scheme, format: str) -> Work:
        self.asked.append((layer, scheme))
        refusal = self.refusal

        def work() -> Generator[Event, None, Any]:
            yield ChunkDone(layer, 1)
            if refusal is not None:
                raise refusal
            return synthetic(layer, scheme, self.source(layer))

        return work
