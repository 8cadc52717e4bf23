"""Scans a model folder under the six default schemes, first with an empty cache and then from it, and times whole processes.

usage: python -m benchmarks.scan MODEL [--rounds 3] [--device cpu] [--json FILE]

One unmeasured scan comes first: it compiles the kernels where they are not yet, and puts the files into the page cache. Cold is a
cache file that is not there; warm is the file that the cold scan left. `cached_scan` is the look that the window takes when a
model is opened, measured within a process that has the engine loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

from benchmarks.processes import Usage, machine, measured, qtquant
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.engine.scan import cached_scan
from qtquant_app.engine.source import open_checkpoint


def scanning(model: str, cache: Path, device: str) -> Usage:
    """`qtquant scan` as a process of its own, its cache in `cache`."""
    with patch.dict(os.environ, {"QTQUANT_CACHE": str(cache)}):
        return measured(qtquant("scan", model, "--device", device, "--json"))


def looking(model: str, cache: Path, device: str) -> float:
    """Seconds of `cached_scan` for a checkpoint that is open. Raises ValueError where the cache does not know it all."""
    checkpoint = open_checkpoint(model)
    start = perf_counter()
    found = cached_scan(checkpoint, DEFAULT_SCHEMES, device=device, cache=cache / "scans.sqlite3")
    if found is None:
        raise ValueError(f"{model} is not wholly in the cache: were its files written just now?")
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model's folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    cold: list[Usage] = []
    warm: list[Usage] = []
    looks: list[float] = []
    with TemporaryDirectory() as folder:
        scanning(options.model, Path(folder) / "first", options.device)
        for round_ in range(options.rounds):
            cache = Path(folder) / str(round_)
            cold.append(scanning(options.model, cache, options.device))
            warm.append(scanning(options.model, cache, options.device))
            looks.append(looking(options.model, cache, options.device))
    checkpoint = open_checkpoint(options.model)
    tensors = sum(tensor.quantizable for tensor in checkpoint.tensors)
    facts = {
        "machine": machine(),
        "tensors": len(checkpoint.tensors),
        "quantizable": tensors,
        "bytes": checkpoint.nbytes,
        "schemes": [scheme.label for scheme in DEFAULT_SCHEMES],
        "cold_seconds": statistics.median(used.wall for used in cold),
        "warm_seconds": statistics.median(used.wall for used in warm),
        "cached_scan_seconds": statistics.median(looks),
        "peak_bytes": max(used.peak_bytes for used in cold),
    }
    print(f"{machine()}\n{tensors} of {len(checkpoint.tensors)} tensors, {checkpoint.nbytes / 1e6:.0f} MB, 6 schemes\n")
    print("| scan | median s | peak MB |\n|---|---:|---:|")
    for name, used in (("cold cache", cold), ("warm cache", warm)):
        peak = max(one.peak_bytes for one in used) / 1e6
        print(f"| {name}, whole process | {statistics.median(one.wall for one in used):.2f} | {peak:.0f} |")
    print(f"| `cached_scan` alone | {statistics.median(looks):.3f} | |\n\n{json.dumps(facts)}")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
