"""Made-up scans: a dense model, experts as stacks and one by one, odd tensors, tensors outside of blocks."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, TensorScanned
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scan import DEFAULT_SCHEMES, ScanReport, TensorScan, TensorStats
from qtquant_app.core.scheme import Scheme
from qtquant_app.jobs.job import Work, once
from tests.gui.inspect_samples import ScriptedVerbs

FORMAT = "compressed-tensors"
LINEARS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
NORMS = ("input_layernorm", "post_attention_layernorm")
Q3 = "model.layers.3.self_attn.q_proj.weight"
DEAD = "model.layers.5.mlp.up_proj.weight"
WORST = "model.layers.7.mlp.down_proj.weight"
NAN_NORM = "model.layers.2.input_layernorm.weight"
HEAD = "lm_head.weight"


def info(name: str, shape: tuple[int, ...], kind: Kind) -> TensorInfo:
    return TensorInfo(name, "BF16", shape, "model.safetensors", 0, 2 * int(np.prod(shape)), kind)


def dense(blocks: int = 30) -> tuple[TensorInfo, ...]:
    """A model of `blocks` blocks with seven linear layers each."""
    found = [info("model.embed_tokens.weight", (4096, 64), Kind.EMBEDDING), info(HEAD, (4096, 64), Kind.HEAD)]
    found.append(info("model.norm.weight", (64,), Kind.NORM))
    for block in range(blocks):
        found += [info(f"model.layers.{block}.{linear}.weight", (64, 64), Kind.LINEAR) for linear in LINEARS]
        found += [info(f"model.layers.{block}.{norm}.weight", (64,), Kind.NORM) for norm in NORMS]
    return tuple(found)


def experts(blocks: int = 4, count: int = 8) -> tuple[TensorInfo, ...]:
    """Blocks whose experts are tensors of their own, then as many whose experts are stacks."""
    found = [info(HEAD, (4096, 64), Kind.HEAD)]
    for block in range(2 * blocks):
        stem = f"model.layers.{block}"
        found.append(info(f"{stem}.self_attn.q_proj.weight", (64, 64), Kind.LINEAR))
        for part in ("gate_proj", "down_proj"):
            if block < blocks:
                found += [info(f"{stem}.mlp.experts.{at}.{part}.weight", (64, 32), Kind.EXPERT) for at in range(count)]
            else:
                found.append(info(f"{stem}.mlp.experts.{part}", (count, 64, 32), Kind.EXPERT))
    return tuple(found)


def checkpoint(tensors: Sequence[TensorInfo] | None = None, label: str = "made up") -> Checkpoint:
    place = Path("/nowhere")
    return Checkpoint(
        root=place,
        path=place,
        label=label,
        tensors=dense() if tensors is None else tuple(tensors),
        weight_files=("model.safetensors",),
        fingerprint=label,
    )


def scan_of(tensor: TensorInfo, schemes: Sequence[Scheme] = DEFAULT_SCHEMES) -> TensorScan:
    """What a scan would say: worse at the ends of the model, worst for WORST; DEAD and NAN_NORM are odd."""
    weights = tensor.parameters
    numbers = [int(part) for part in tensor.name.split(".") if part.isdigit()] or [0]
    jitter = (sum(map(ord, tensor.name)) % 17) / 4
    lost = 25.0 if tensor.name == WORST else 6.0 * (numbers[0] == 0) + 0.1 * numbers[-1] + jitter
    stats = TensorStats(
        weights=weights,
        non_finite=3 if tensor.name == NAN_NORM else 0,
        minimum=-0.1 * (1 + jitter),
        maximum=0.12 * (1 + jitter),
        mean=0.0,
        std=0.1 + 0.001 * numbers[0],
        kurtosis=0.5 * jitter + numbers[0],
        outliers=numbers[0],
        zeros=0,
        dead_rows=2 if tensor.name == DEAD else 0,
        dead_columns=0,
        constant_groups=0,
    )
    found = TensorScan(
        tensor.name, tensor.module, tensor.kind, tensor.dtype, tensor.shape, tensor.nbytes, stats, (), ""
    )
    if len(tensor.shape) < 2 or tensor.kind is Kind.EMBEDDING:
        return replace(found, skipped="only float matrices of linear layers are quantized")
    return replace(found, reports=tuple(_report(tensor, scheme, lost) for scheme in schemes))


def _report(tensor: TensorInfo, scheme: Scheme, lost: float) -> TensorReport:
    weights = tensor.parameters
    decibels = 6.02 * scheme.bits - lost - (2.0 if scheme.strategy == "channel" else 0.0)
    square = 0.0004 * weights
    errors = ErrorSums(weights, square / 10 ** (decibels / 10), square, square, 0.3 / 10 ** (decibels / 20))
    return TensorReport(tensor.name, scheme, weights * scheme.bits // 8 + 2 * tensor.shape[0], errors)


def report_of(
    found: Checkpoint | None = None, schemes: Sequence[Scheme] = DEFAULT_SCHEMES, format: str = FORMAT
) -> ScanReport:
    """The whole scan of a checkpoint."""
    found = found or checkpoint()
    scans = tuple(scan_of(tensor, schemes) for tensor in found.tensors)
    return ScanReport(found.label, format, tuple(schemes), scans, 0)


class ScanVerbs(ScriptedVerbs):
    """Scans made here. `gate` holds a scan after `hold` tensors; `cache` is what the cache answers."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.hold = 20
        self.closed = threading.Event()
        self.cache: ScanReport | None = None
        self.error: QtQuantError | None = None
        self.scans: list[tuple[tuple[Scheme, ...], str]] = []
        self.looked_up: list[tuple[Scheme, ...]] = []
        self.reports: list[tuple[tuple[Scheme, ...], str, str]] = []

    def scan(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> Work:
        self.scans.append((schemes, format))

        def work() -> Generator[Event, None, Any]:
            try:
                yield RunStarted(len(checkpoint.tensors), sum(tensor.nbytes for tensor in checkpoint.tensors))
                yield from self._events(checkpoint, schemes)
            except GeneratorExit:
                self.closed.set()
                raise
            return report_of(checkpoint, schemes, format)

        return work

    def _events(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...]) -> Iterator[Event]:
        for at, tensor in enumerate(checkpoint.tensors):
            while at >= self.hold and not self.gate.wait(0.005):
                yield ChunkDone(tensor.name, 0)
            if self.error is not None and at >= self.hold:
                raise self.error
            yield ChunkDone(tensor.name, tensor.nbytes)
            yield TensorScanned(scan_of(tensor, schemes), False)

    def cached_scan(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> Work:
        self.looked_up.append(schemes)
        return once(lambda: self.cache)

    def report(
        self, checkpoint: Checkpoint, output: str, schemes: tuple[Scheme, ...], format: str, overwrite: bool
    ) -> Work:
        self.reports.append((schemes, format, output))
        error = self.error

        def write() -> Path:
            if error is not None:
                raise error
            return Path(output)

        return once(write)
