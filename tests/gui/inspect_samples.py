"""A checkpoint of names alone, and previews computed in plain numpy: the Inspect page without engine or files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QPoint, QPointF
from PySide6.QtWidgets import QWidget

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.plan import Action, Plan, TensorPlan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View, Window
from qtquant_app.engine.look import Picture
from qtquant_app.engine.preview import Preview
from qtquant_app.engine.preview_work import Hot
from qtquant_app.gui.layer_rules import scheme_for
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work, once
from tests.gui.explanation_samples import sample

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
    found[random.choice(rows, min(rows, 2), replace=False)] *= 4
    found[:, random.choice(columns, min(columns, 2), replace=False)] *= 6
    return found


def quantized(source: np.ndarray, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """float32 `source` after its way through the codes, and the scale of each weight; symmetric whatever the scheme says."""
    columns = source.shape[1]
    size = min(scheme.group_size or columns, columns)
    decoded, scales = np.empty_like(source), np.empty_like(source)
    for start in range(0, columns, size):
        part = source[:, start : start + size]
        scale = np.maximum(np.abs(part).max(axis=1, keepdims=True), 1e-12) / ((scheme.levels - 1) / 2)
        half = scheme.levels // 2
        decoded[:, start : start + size] = np.clip(np.rint(part / scale), -half, half - 1) * scale
        scales[:, start : start + size] = scale
    return decoded, scales


def values_of(view: View, source: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The number that `view` shows of each weight."""
    decoded, scales = quantized(source, scheme)
    error = source - decoded
    match view:
        case View.SIGNED:
            found = error
        case View.SQUARED:
            found = error**2
        case View.RELATIVE:
            found = np.abs(error) / np.sqrt((source**2).mean(axis=1, keepdims=True))
        case View.SATURATION:
            found = np.abs(error) > 0.5 * scales * 1.001
        case View.SCALE:
            found = scales
        case View.ZERO:
            found = np.full_like(source, scheme.levels // 2)
        case View.WEIGHT:
            found = source
        case _:
            found = np.abs(error)
    return found.astype(np.float32)


def pictured(source: np.ndarray, scheme: Scheme, window: Window) -> Picture:
    """What the engine's `look` answers for `window` of a matrix with these weights."""
    error = (source - quantized(source, scheme)[0]).astype(float) ** 2
    rows = _order(error.sum(axis=1), window.sort_rows)[window.top : window.bottom]
    columns = _order(error.sum(axis=0), window.sort_columns)[window.left : window.right]
    down, across = -(-len(rows) // window.cells_down), -(-len(columns) // window.cells_across)
    values = values_of(window.view, source, scheme)[rows][:, columns]
    low, high = (_blocks(values, down, across, reduce) for reduce in (np.minimum, np.maximum))
    counts = _blocks(np.ones_like(values), down, across, np.add)
    extreme, mean = np.where(high >= -low, high, low), _blocks(values, down, across, np.add) / counts
    return Picture(window, rows, columns, down, across, extreme, mean)


def synthetic(
    layer: str,
    scheme: Scheme,
    source: np.ndarray,
    cells: tuple[int, int] = (1, 1),
    view: View = View.ABSOLUTE,
    sampled: int = 0,
    carried: bool = False,
) -> Preview:
    """The exact Preview of float32 `source`; `cells` are the rows and columns of a cell of its picture."""
    rows, columns = source.shape
    size = min(scheme.group_size or columns, columns)
    decoded, scales = quantized(source, scheme)
    error, weight = (source - decoded).astype(float) ** 2, source.astype(float) ** 2
    window = Window(view, 0, rows, 0, columns, -(-rows // cells[0]), -(-columns // cells[1]))
    by_group = _blocks(error, rows, size, np.add)[0] / np.maximum(_blocks(weight, rows, size, np.add)[0], 1e-30)
    peak = float(np.sqrt(error).max())
    return Preview(
        layer=layer,
        scheme=scheme,
        dtype="BF16",
        stored="BF16",
        shape=(rows, columns),
        carried=carried,
        sampled=sampled,
        errors=ErrorSums(
            source.size, float(error.sum()), float(weight.sum()), float(np.sum(decoded.astype(float) ** 2)), peak
        ),
        bytes=source.size * scheme.bits // 8 + 2 * rows * -(-columns // size),
        bits_per_weight=scheme.bits + 16 / size,
        weight_range=(float(source.min()), float(source.max())),
        histogram_edges=np.linspace(source.min(), source.max(), 129),
        histogram_counts=np.histogram(source, 128)[0].astype(np.int64),
        error_histogram=_error_histogram(np.sqrt(error)),
        levels=((np.arange(scheme.levels) - scheme.levels // 2) * np.median(scales)).astype(np.float32),
        picture=pictured(source, scheme, window),
        channel_square_error=error.sum(axis=1),
        channel_square_weight=weight.sum(axis=1),
        channel_max_error=np.sqrt(error).max(axis=1).astype(np.float32),
        channel_relative_error=np.sqrt(error.sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-30)).astype(np.float32),
        column_square_error=error.sum(axis=0),
        group_columns=size,
        group_relative_error=np.sqrt(by_group).astype(np.float32),
        worst_groups=_worst_groups(error, weight, size),
        fixed=None,
    )


def _error_histogram(errors: np.ndarray) -> np.ndarray:
    """Counts by the upper eleven bits of a float32."""
    return np.bincount(errors.astype(np.float32).ravel().view(np.uint32) >> 21, minlength=1024).astype(np.int64)


def _worst_groups(error: np.ndarray, weight: np.ndarray, size: int) -> tuple[Hot, ...]:
    by_group, weights = (_blocks(values, 1, size, np.add) for values in (error, weight))
    peaks, width = np.sqrt(_blocks(error, 1, size, np.maximum)), error.shape[1]
    found = []
    for place in np.argsort(-by_group.ravel(), kind="stable")[:32].tolist():
        row, group = divmod(place, by_group.shape[1])
        span = (group * size, min((group + 1) * size, width))
        at = (row, group)
        found.append(Hot(row, *span, float(by_group[at]), float(weights[at]), float(peaks[at])))
    return tuple(found)


def _order(errors: np.ndarray, wanted: bool) -> np.ndarray:
    return (np.argsort(-errors, kind="stable") if wanted else np.arange(len(errors))).astype(np.int32)


def _blocks(values: np.ndarray, down: int, across: int, reduce: np.ufunc) -> np.ndarray:
    values = reduce.reduceat(values, np.arange(0, values.shape[0], down), axis=0)
    return reduce.reduceat(values, np.arange(0, values.shape[1], across), axis=1)


def on_screen(plot: QWidget, x: float, y: float) -> QPoint:
    """Where column `x` and row `y` of a plot lie in its viewport."""
    found: QPoint = plot.mapFromScene(plot.view.mapViewToScene(QPointF(x, y)))  # type: ignore[attr-defined]
    return found


class ScriptedVerbs(Verbs):
    """Plans and previews made here; `asked` and `looked` list the requests, `refusal` is raised in place of an answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Scheme]] = []
        self.looked: list[Window] = []
        self.explained: list[tuple[str, Scheme, tuple[int, int], tuple[int, int], str, object]] = []
        self.cells = (1, 1)
        """Rows and columns of a cell of a preview's picture."""
        self.refusal: QtQuantError | None = None
        self.source: Callable[[str], np.ndarray] = lambda layer: weights(seed=len(layer))

    def plan(self, checkpoint: Checkpoint, recipe: Recipe, *choices: object, **more: object) -> Work:
        return once(lambda: plan_for(checkpoint, recipe))

    def probe(self, checkpoint: Checkpoint, plan: Plan, output: str) -> Work:
        return once(lambda: plan)

    def lint(self, *choices: object) -> Work:
        return once(tuple)

    def preview(
        self,
        checkpoint: Checkpoint,
        layer: str,
        scheme: Scheme,
        format: str,
        *,
        view: View = View.ABSOLUTE,
        sample: bool = False,
        known: Preview | None = None,
    ) -> Work:
        self.asked.append((layer, scheme))
        refusal = self.refusal

        def work() -> Generator[Event, None, Any]:
            yield ChunkDone(layer, 1)
            if refusal is not None:
                raise refusal
            return synthetic(layer, scheme, self.source(layer), self.cells, view=view)

        return work

    def look(self, checkpoint: Checkpoint, layer: str, scheme: Scheme, window: Window, known: Preview) -> Work:
        self.looked.append(window)
        return once(lambda: pictured(self.source(layer), scheme, window))

    def explain(
        self,
        checkpoint: Checkpoint,
        layer: str,
        scheme: Scheme,
        rows: tuple[int, int],
        columns: tuple[int, int],
        format: str,
        extremes: tuple[float, float] | None = None,
    ) -> Work:
        self.explained.append((layer, scheme, rows, columns, format, extremes))
        refusal = self.refusal

        def work() -> Generator[Event, None, Any]:
            yield ChunkDone(layer, 1)
            if refusal is not None:
                raise refusal
            return sample(layer, scheme, rows[0], columns[0], format)

        return work
