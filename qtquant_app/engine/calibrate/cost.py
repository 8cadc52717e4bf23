"""What calibration will take: memory at its peak and time, from the sizes of a plan's tensors.

Rates and constants are fitted to `python -m benchmarks.methods MODEL --race` on two cores with bfloat16 instructions; they say
whether it takes a minute or an hour, not more.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from qtquant_app.core.blocks import spot
from qtquant_app.core.calibration import Calibration
from qtquant_app.core.plan import TensorPlan
from qtquant_app.engine.calibrate.batches import TOKENS
from qtquant_app.engine.calibrate.lengths import epochs
from qtquant_app.engine.calibrate.needed import learns, needs_calibration, writing_bytes
from qtquant_app.engine.device import default_threads

LIBRARIES = 560 << 20
"""torch and transformers with a model's code, where they are not loaded yet."""

_IMPORT_SECONDS = 8.0
_PRODUCTS = 150e9
"""Multiplications and additions a second and thread, counted as two, when a block is run."""
_MOMENTS = 140e9
_SOLVING = 12e9
_WRITING = 80e9
"""As `_PRODUCTS`, when a model writes samples itself: a token at a time, of many texts at once."""
_STEP = 3
"""What a step of learning takes, a run forwards counted as one; the backward pass is two of them."""

FLOAT = 4


@dataclass(frozen=True, slots=True)
class CalibrationCost:
    """Bytes of main memory beside those of the run, and seconds."""

    ram: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Block:
    parameters: int
    squares: int
    """Sum of the squared lengths of its distinct inputs."""
    solving: int
    """Sum of rows times squared columns of what is solved."""


def calibration_cost(tensors: Sequence[TensorPlan], calibration: Calibration | None, device: str) -> CalibrationCost:
    """What calibrating a plan over `tensors` takes; nothing where it needs no samples."""
    if calibration is None:
        return CalibrationCost()
    blocks = _blocks(tensors)
    own = (calibration.own or 0) * calibration.length
    tokens = calibration.samples * calibration.length + own
    learned = [tensor.scheme.bits for tensor in tensors if tensor.scheme is not None and learns(tensor.scheme)]
    passes = 2 + _STEP * epochs(min(learned), tokens / TOKENS["cpu"]) if learned else 1
    cost = CalibrationCost(_ram(tensors, blocks, tokens, bool(learned), device), _seconds(blocks, tokens, passes))
    return _with_writing(cost, tensors, own, device)


def writing_share(tensors: Sequence[TensorPlan], calibration: Calibration, device: str) -> float:
    """Which part of the time of calibrating a plan over `tensors` the samples take that the model writes itself, 0.0 to 1.0."""
    whole = calibration_cost(tensors, calibration, device).seconds
    return _writing_seconds(tensors, (calibration.own or 0) * calibration.length) / whole


def _with_writing(cost: CalibrationCost, tensors: Sequence[TensorPlan], tokens: int, device: str) -> CalibrationCost:
    """`cost`, where the model writes `tokens` first: all of it is in memory meanwhile, in 16 bits, some of it twice."""
    if not tokens:
        return cost
    parameters = sum(prod(tensor.shape) for tensor in tensors)
    memory = LIBRARIES + (writing_bytes(parameters) if device == "cpu" else 0)
    return CalibrationCost(max(cost.ram, memory), cost.seconds + _writing_seconds(tensors, tokens))


def _writing_seconds(tensors: Sequence[TensorPlan], tokens: int) -> float:
    return 2 * sum(prod(tensor.shape) for tensor in tensors) * tokens / _WRITING / default_threads()


def _blocks(tensors: Sequence[TensorPlan]) -> list[_Block]:
    members: dict[tuple[str, int | None], list[TensorPlan]] = {}
    for tensor in tensors:
        if len(tensor.shape) == 2 and spot(tensor.name).depth is not None:
            place = spot(tensor.name)
            members.setdefault((place.stack, place.depth), []).append(tensor)
    return [_block(found) for found in members.values()]


def _block(tensors: Sequence[TensorPlan]) -> _Block:
    wanted = [tensor for tensor in tensors if needs_calibration(tensor.scheme)]
    # Matrices of one module that have as many columns share an input, but for one that takes what the others gave.
    inputs = {(tensor.module.rpartition(".")[0], tensor.shape[1]) for tensor in wanted}
    largest = max((tensor.shape[1] ** 2 for tensor in wanted), default=0)
    return _Block(
        sum(prod(tensor.shape) for tensor in tensors),
        sum(columns**2 for _, columns in inputs) + largest,
        sum(tensor.shape[0] * tensor.shape[1] ** 2 for tensor in wanted),
    )


def _ram(tensors: Sequence[TensorPlan], blocks: Sequence[_Block], tokens: int, learning: bool, device: str) -> int:
    wide = min((tensor.shape[1] for tensor in tensors if needs_calibration(tensor.scheme)), default=0)
    inner = max((max(tensor.shape) for tensor in tensors if needs_calibration(tensor.scheme)), default=0)
    waiting = tokens * ((8 if learning else 5) * FLOAT * wide + (0 if learning else 2 * inner))
    if device != "cpu":
        return LIBRARIES
    weights = max((block.parameters for block in blocks), default=0) * FLOAT * (5 if learning else 2)
    moments = 2 * FLOAT * max((block.squares for block in blocks), default=0)
    running = FLOAT * TOKENS["cpu"] * inner * (24 if learning else 6)
    outside = max((FLOAT * prod(t.shape) for t in tensors if t.kind in ("embedding", "head")), default=0)
    libraries = 0 if "transformers" in sys.modules and "torch" in sys.modules else LIBRARIES
    return libraries + waiting + weights + moments + max(running, outside)


def _seconds(blocks: Sequence[_Block], tokens: int, passes: float) -> float:
    threads = default_threads()
    parameters = sum(block.parameters for block in blocks)
    running = 2 * parameters * tokens * passes / _PRODUCTS
    moments = tokens * sum(block.squares for block in blocks) / _MOMENTS
    solving = 2 * sum(block.solving for block in blocks) * 4 / _SOLVING
    return _IMPORT_SECONDS + (running + moments + solving) / threads
