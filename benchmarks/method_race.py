"""GPTQ of ours, GPTQModel's and llm-compressor's on the same samples, one after the other; and ours on a model twice as deep.

It is `python -m benchmarks.methods MODEL --race`. All symmetric, group size 64, whole processes. Wall seconds are the point here:
leave the machine to it; the load average before each run is printed. With several rounds the median counts, and the largest peak.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from statistics import median

from benchmarks.method_rows import SAMPLES, SEQLEN, Method, chosen
from benchmarks.processes import Usage, machine, measured

OURS, DEEPER = "QtQuant gptq sym", "QtQuant gptq sym, twice the blocks"
NAMES = (OURS, "GPTQModel sym", "llm-compressor GPTQ sym")


def race(model: str, bits: int, rounds: int, venvs: Path, work: Path) -> dict[str, list[Usage]]:
    """What each took in each round: everyone once, then everyone again."""
    tokens, deeper = work / "tokens.json", work / "deeper"
    shape = ["--samples", str(SAMPLES), "--seqlen", str(SEQLEN)]
    measured([sys.executable, "-m", "benchmarks.method_tokens", model, tokens, *shape])
    if not deeper.exists():
        measured([sys.executable, "-m", "benchmarks.deeper_checkpoint", model, deeper])
    runs = [(name, _method(name), model) for name in NAMES] + [(DEEPER, _method(OURS), str(deeper))]
    found: dict[str, list[Usage]] = {name: [] for name, _, _ in runs}
    for _ in range(rounds):
        for name, method, source in runs:
            out = work / "result"
            shutil.rmtree(out, ignore_errors=True)
            load = os.getloadavg()[0]
            found[name].append(measured(method.command(source, tokens, out, bits, venvs)))
            print(
                f"{name}: {found[name][-1].wall:.1f} s, load average before it {load:.1f}", file=sys.stderr, flush=True
            )
    return found


def _method(name: str) -> Method:
    return next(method for method in chosen(name) if method.name == name)


def report(found: dict[str, list[Usage]]) -> str:
    """The table, and what is asked of it: how much faster than the faster peer, and how the peak grows with depth."""
    wall = {name: median(run.wall for run in runs) for name, runs in found.items()}
    peak = {name: max(run.peak_bytes for run in runs) for name, runs in found.items()}
    lines = ["| GPTQ, 64 x 512 tokens | wall s | CPU s | peak memory |", "|---|---:|---:|---:|"]
    for name, runs in found.items():
        cpu = median(run.cpu for run in runs)
        lines.append(f"| {name} | {wall[name]:.1f} | {cpu:.1f} | {peak[name] / 1e9:.2f} GB |")
    faster = min(wall[name] for name in NAMES if name != OURS)
    return "\n".join(
        [
            machine(),
            "",
            *lines,
            "",
            f"{faster / wall[OURS]:.2f} times as fast as the faster peer; "
            f"peak with twice the blocks {peak[DEEPER] / peak[OURS]:.3f} of the peak",
        ]
    )
