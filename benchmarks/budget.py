"""Whether a mix is better than one scheme for all: KL divergence of both from the original, on text that chose neither.

usage: python -m benchmarks.budget MODEL [--bpw 3.0 3.5 4.25] [--allow LABEL ...] [--uniform LABEL ...] [--text FILE]
       [--windows 8] [--length 256] [--json FILE]

MODEL is a folder that transformers loads as a causal language model. The text is the language reference that Python carries in
`pydoc_data.topics`, unless a file is given. Weights are quantized as a run quantizes them, restored, rounded to the checkpoint's
dtype as readers do, and put into the model in memory. KL(original || quantized) is in nats a token, over all tokens of the windows.
Sizes are given beside: no uniform scheme has exactly the size of a mix, so compare with those that are as large or larger.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.processes import machine
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Target
from qtquant_app.engine.budget import ALLOWED, solve, weigh
from qtquant_app.engine.device import backend_for
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.formats import find

UNIFORM = (
    "W3 ch asym mse",
    "W3 g192 asym mse",
    "W3 g64 sym mse",
    "W3 g64 asym mse",
    "W3 g32 sym mse",
    "W3 g32 asym mse",
    "W4 ch asym mse",
    "W4 g64 sym mse",
    "W4 g64 asym mse",
)
_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


@dataclass(frozen=True)
class Row:
    name: str
    bits_per_weight: float
    output_bytes: int
    kl: float


class Divergence:
    """A model whose weights can be replaced, beside what it said with its own."""

    def __init__(self, checkpoint: Checkpoint, reader: TensorReader, text: str, windows: int, length: int) -> None:
        self._checkpoint, self._reader, self._backend = checkpoint, reader, backend_for("cpu")
        self._model: Any = AutoModelForCausalLM.from_pretrained(checkpoint.root, dtype=torch.float32).eval()
        self._parameters: dict[str, torch.nn.Parameter] = dict(self._model.named_parameters())
        self._in_place: dict[str, Scheme | None] = {}
        ids = AutoTokenizer.from_pretrained(checkpoint.root)(text)["input_ids"]
        step = max(length, (len(ids) - length) // max(1, windows - 1))
        cut = [ids[i * step : i * step + length] for i in range(windows)]
        self._windows = torch.tensor([window for window in cut if len(window) == length])
        self._original = [self._said(window) for window in self._windows]

    def of(self, schemes: Mapping[str, Scheme | None]) -> float:
        """KL divergence in nats a token with each tensor under its scheme, None for the original."""
        for name, scheme in schemes.items():
            if self._in_place.get(name) != scheme:
                self._put(name, scheme)
        total = 0.0
        for window, original in zip(self._windows, self._original, strict=True):
            total += float((original.exp() * (original - self._said(window))).sum())
        return total / self._windows.numel()

    def _said(self, window: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.log_softmax(self._model(window[None]).logits[0].float(), -1)

    def _put(self, name: str, scheme: Scheme | None) -> None:
        tensor = self._checkpoint.by_name[name]
        raw = self._reader.rows(tensor, 0, tensor.shape[0])
        if scheme is None:
            weights = torch.from_numpy(raw.copy()).view(_DTYPES[tensor.dtype])
        else:
            chunk = self._backend.quantize(raw, tensor.dtype, scheme, find("compressed-tensors").align)
            restored = self._backend.dequantize(chunk, tensor.dtype, scheme, tensor.shape[1])
            weights = torch.from_numpy(restored).to(_DTYPES[tensor.dtype])
        with torch.no_grad():
            self._parameters[name].copy_(weights)
        self._in_place[name] = scheme


def rows(options: argparse.Namespace) -> list[Row]:
    """A row for each uniform scheme that fits all tensors, and for each mix."""
    checkpoint = open_checkpoint(options.model)
    text = options.text.read_text(errors="replace") if options.text else "\n\n".join(topics[k] for k in sorted(topics))
    found: list[Row] = []
    with ExitStack() as stack:
        reader = stack.enter_context(TensorReader(checkpoint))
        divergence = Divergence(checkpoint, reader, text[: options.characters], options.windows, options.length)
        for label in options.uniform:
            found.append(_row(label, checkpoint, Recipe(default=parse_label(label)), divergence))
        measured = _finished(weigh(checkpoint, Recipe(), schemes=_schemes(options.allow), device="cpu"))
        for bits in options.bpw:
            mix = solve(measured, Target(bits_per_weight=bits))
            found.append(_row(f"mix for {bits:g} bits per weight", checkpoint, mix.recipe, divergence))
    return found


def _schemes(labels: Sequence[str]) -> Sequence[Scheme]:
    return [parse_label(label) for label in labels] or ALLOWED


def _finished(events: Any) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def _row(name: str, checkpoint: Checkpoint, recipe: Recipe, divergence: Divergence) -> Row:
    plan = make_plan(checkpoint, recipe, device="cpu")
    kl = divergence.of({tensor.name: tensor.scheme for tensor in plan.quantized})
    print(f"{name}: {kl:.4f}", file=sys.stderr, flush=True)
    return Row(name, plan.bits_per_weight, plan.output_bytes, kl)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model's folder")
    parser.add_argument("--bpw", type=float, nargs="+", default=[3.0, 3.5, 4.25])
    parser.add_argument("--allow", nargs="+", default=[], metavar="LABEL", help="what the budget may choose from")
    parser.add_argument("--uniform", nargs="*", default=list(UNIFORM), metavar="LABEL")
    parser.add_argument("--text", type=Path, help="a text file in the model's language")
    parser.add_argument("--characters", type=int, default=300_000, help="of the text, from its start")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--length", type=int, default=256, help="tokens of a window")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = sorted(rows(options), key=lambda row: row.bits_per_weight)
    print(f"{machine()}\n\n| scheme | bits per weight | output MB | KL, nats a token |\n|---|---:|---:|---:|")
    for row in found:
        print(f"| {row.name} | {row.bits_per_weight:.3f} | {row.output_bytes / 1e6:.2f} | {row.kl:.4f} |")
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
