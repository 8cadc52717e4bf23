"""Whether a mix is better than one scheme for all: KL divergence of both from the original, on text that chose neither.

usage: python -m benchmarks.budget MODEL [--bpw 3.0 3.5 4.25] [--allow LABEL ...] [--uniform LABEL ...] [--text FILE]
       [--windows 16] [--length 256] [--json FILE]

MODEL is a folder that transformers loads as a causal language model. A mix is chosen from the weights alone, and once more after
the model has read the first half of a text: the language reference that Python carries in `pydoc_data.topics`, unless a file
is given. All are judged on the second half. Weights are quantized as a run quantizes them, restored, and put into the model in
memory, which runs in float32. KL(original || quantized) is in nats a token, over all tokens of the windows.
Sizes are given beside: no uniform scheme has exactly the size of a mix, so compare with those that are as large or larger.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeVar

from benchmarks.processes import machine
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Target
from qtquant_app.engine.budget import ALLOWED, solve, weigh
from qtquant_app.engine.divergence import divergences
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text

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
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    name: str
    bits_per_weight: float
    output_bytes: int
    kl: float
    predicted: float | None = None


def rows(options: argparse.Namespace) -> list[Row]:
    """A row for each uniform scheme, and two for each mix."""
    checkpoint = open_checkpoint(options.model)
    named: list[tuple[str, Plan, float | None]] = [
        (label, make_plan(checkpoint, Recipe(default=parse_label(label)), device=options.device), None)
        for label in options.uniform
    ]
    for source, words in (("", "mix from the weights alone"), (options.text, "mix after reading")):
        began = monotonic()
        measured = _finished(
            weigh(checkpoint, Recipe(), schemes=_schemes(options.allow), device=options.device, calibration=source)
        )
        print(f"measured in {monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        for bits in options.bpw:
            mix = solve(measured, Target(bits_per_weight=bits))
            named.append((f"{words}, {bits:g} bits per weight", mix.plan, mix.error if source else None))
    _, held_out = read_text(options.text).halves()
    plans = [plan for _, plan, _ in named]
    kls, tokens = _finished(divergences(checkpoint, plans, held_out, options.windows, options.length, options.device))
    print(f"judged on {tokens:,} tokens of {held_out.name}", file=sys.stderr)
    return [
        Row(name, plan.bits_per_weight, plan.output_bytes, kl, predicted)
        for (name, plan, predicted), kl in zip(named, kls, strict=True)
    ]


def _schemes(labels: Sequence[str]) -> Sequence[Scheme]:
    return [parse_label(label) for label in labels] or ALLOWED


def _finished(events: Generator[Event, None, T]) -> T:
    while True:
        try:
            next(events)
        except StopIteration as stop:
            value: T = stop.value
            return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model's folder")
    parser.add_argument("--bpw", type=float, nargs="+", default=[3.0, 3.5, 4.25])
    parser.add_argument("--allow", nargs="+", default=[], metavar="LABEL", help="what the budget may choose from")
    parser.add_argument("--uniform", nargs="*", default=list(UNIFORM), metavar="LABEL")
    parser.add_argument("--text", default=BUILT_IN, help="a text file in the model's language")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--length", type=int, default=256, help="tokens of a window")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = sorted(rows(options), key=lambda row: row.bits_per_weight)
    print(
        f"{machine()}\n\n| scheme | bits per weight | output MB | KL, nats a token | predicted |\n|---|---:|---:|---:|---:|"
    )
    for row in found:
        predicted = "" if row.predicted is None else f"{row.predicted:.3f}"
        print(f"| {row.name} | {row.bits_per_weight:.3f} | {row.output_bytes / 1e6:.2f} | {row.kl:.4f} | {predicted} |")
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
