"""How fast a result of the plain format runs here, in `qtquant_app.load`, beside the original in transformers.

Other formats are run by runtimes of their own, of whose speed our decoding of their files says nothing: it is not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError, UsageError
from qtquant_app.core.evaluation import Speed
from qtquant_app.core.events import Event, TextRead
from qtquant_app.core.plan import Plan
from qtquant_app.engine.language_model import open_language_model, runnable
from qtquant_app.engine.load import load

READ, WRITTEN, REPEATS = 512, 32, 3


def check_measurable(checkpoint: Checkpoint, plan: Plan | None) -> None:
    """Raises UsageError where the result is of another format than the plain one, EvaluateError where it writes no text."""
    if plan is None or plan.format != "qtquant":
        raise UsageError(
            "the speed of a result is that of the runtime that loads it, and here only the plain format is loaded as it is",
            hint="leave --speed out, and measure it in the runtime; or quantize with --format qtquant",
            code="speed",
        )
    if reason := runnable(checkpoint):
        raise EvaluateError(f"{reason}, so it writes no text to measure", hint="leave --speed out", code="model")


def measured_speed(checkpoint: Checkpoint, root: Path, device: str) -> Generator[Event, None, Speed]:
    """Tokens a second of both, one after the other, in the checkpoint's dtype: a window read at once, and single tokens written.

    The median of three, after one that is not counted.
    """
    found: list[tuple[float, float]] = []
    own = load(root, device=device)
    dtype = own.dtype
    yield TextRead(1, 4)
    found.append(_speed(own, device))
    del own
    yield TextRead(2, 4)
    base = open_language_model(checkpoint, device).net.to(dtype)
    yield TextRead(3, 4)
    found.append(_speed(base, device))
    yield TextRead(4, 4)
    (reading, writing), (base_reading, base_writing) = found
    return Speed(device, str(dtype).removeprefix("torch."), base_reading, base_writing, reading, writing)


def _speed(model: Any, device: str) -> tuple[float, float]:
    import torch

    generator = torch.Generator().manual_seed(0)
    config = model.config.get_text_config()
    length = min(READ, getattr(config, "max_position_embeddings", None) or READ)
    ids = torch.randint(config.vocab_size, (1, length), generator=generator).to(device)

    def reads() -> None:
        model(ids, use_cache=False, logits_to_keep=1)

    def writes() -> None:
        known = model(ids[:, :1], use_cache=True)
        for at in range(1, WRITTEN):
            known = model(ids[:, at : at + 1], past_key_values=known.past_key_values, use_cache=True)

    with torch.no_grad():
        return length / _seconds(reads, device), WRITTEN / _seconds(writes, device)


def _seconds(work: Callable[[], None], device: str) -> float:
    work()
    return median(_once(work, device) for _ in range(REPEATS))


def _once(work: Callable[[], None], device: str) -> float:
    _wait(device)
    began = perf_counter()
    work()
    _wait(device)
    return perf_counter() - began


def _wait(device: str) -> None:
    """For what the device was asked to do."""
    import torch

    kind = device.partition(":")[0]
    if kind != "cpu":
        module: Any = getattr(torch, kind)
        module.synchronize()
