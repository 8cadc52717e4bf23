"""How long the budget's choice takes: CPU time of `allocate` for 1,000 tensors under 8 schemes, over many kinds of instances.

usage: python -m benchmarks.knapsack [--instances 100] [--tensors 1000]

Each instance has a share of the range between the smallest and the best for its capacity. "proven" are those after which it is
known that there is nothing better.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import process_time

import numpy as np

from qtquant_app.engine.allocation import allocate
from tests.knapsacks import KINDS, capacity, knapsack


def measured(kind: str, seed: int, tensors: int) -> tuple[float, bool]:
    """Milliseconds of CPU time, and whether the optimum is certain."""
    classes = knapsack(kind, seed, tensors)
    room = capacity(classes, float(np.random.default_rng(seed).uniform(0.05, 0.95)))
    began = process_time()
    found = allocate(classes, room)
    took = process_time() - began
    assert found is not None
    return took * 1000, found.excess == 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.knapsack", description=__doc__)
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--tensors", type=int, default=1_000)
    options = parser.parse_args(arguments)
    each = max(1, options.instances // len(KINDS))
    measured("model", 0, 50)  # what is loaded once
    every: list[float] = []
    print(f"{'kind':22}{'median':>10}{'95%':>10}{'worst':>10}{'proven':>10}")
    for kind in KINDS:
        results = [measured(kind, seed, options.tensors) for seed in range(each)]
        every += (times := [took for took, _ in results])
        print(_row(kind, times) + f"{sum(sure for _, sure in results):6} of {each}", flush=True)
    print(_row("all", every))
    return 0


def _row(name: str, times: Sequence[float]) -> str:
    figures = np.percentile(times, (50, 95, 100))
    return f"{name:22}" + "".join(f"{figure:8.0f}ms" for figure in figures)


if __name__ == "__main__":
    raise SystemExit(main())
