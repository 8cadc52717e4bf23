"""Shows that the peak resident memory of a run does not grow with the checkpoint.

usage: python -m benchmarks.memory [--blocks 24 52] [--verify full] [--folder DIR] [--json FILE]

24 and 52 blocks make 1.2 and 2.4 billion parameters. Each checkpoint is made, quantized to 4 bits by a fresh process, and deleted.
Beside them stand a process that only imports numpy and numba, and one that imports torch: what the libraries alone take.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.processes import Usage, machine, make_checkpoint, measured, qtquant, tree_bytes, workplace

_BLOCKS_PER_SHARD = 12


def importing(modules: str) -> Usage:
    """A process that imports `modules` and ends."""
    return measured([sys.executable, "-c", f"import {modules}"])


def quantizing(blocks: int, folder: Path, verify: str) -> tuple[int, Usage]:
    """Bytes of a checkpoint of `blocks` blocks, and what quantizing it took. A first, unmeasured run is the caller's."""
    source, out = folder / f"random-{blocks}", folder / "out"
    make_checkpoint(source, blocks, max(2, blocks // _BLOCKS_PER_SHARD))
    nbytes = tree_bytes(source)
    words = ["--bits", "4", "--group-size", "128", "--symmetric", "--device", "cpu", "--verify", verify]
    try:
        return nbytes, measured(qtquant("quantize", source, "-o", out, *words))
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(source)


def table(rows: Mapping[str, Usage]) -> str:
    """The figures as a markdown table."""
    lines = ["| process | peak MB | wall s |", "|---|---:|---:|"]
    lines += [f"| {name} | {used.peak_bytes / 1e6:.0f} | {used.wall:.2f} |" for name, used in rows.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs=2, default=[24, 52], metavar=("SMALL", "LARGE"))
    parser.add_argument("--verify", choices=("full", "quick", "none"), default="full")
    parser.add_argument("--folder", type=Path, help="where to work")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    rows = {"import numpy, numba": importing("numpy, numba"), "import torch": importing("torch")}
    peaks: list[int] = []
    with workplace(options.folder) as folder:
        # The kernels are compiled here on a machine that runs them for the first time, which takes memory of its own.
        quantizing(1, folder, options.verify)
        for blocks in options.blocks:
            nbytes, used = quantizing(blocks, folder, options.verify)
            rows[f"qtquant quantize, {nbytes / 2e9:.2f} billion parameters"] = used
            peaks.append(used.peak_bytes)
    ratio, beyond = peaks[1] / peaks[0], max(peaks) - rows["import torch"].peak_bytes
    print(f"{machine()}\n\n{table(rows)}\n")
    print(f"large / small: {ratio:.3f}; the larger peak is {beyond / 1e6:+.0f} MB from a process with torch")
    if options.json:
        facts = {"machine": machine(), "ratio": ratio, "beyond_torch_bytes": beyond}
        rows_json = {name: asdict(used) for name, used in rows.items()}
        options.json.write_text(json.dumps({**facts, "processes": rows_json}, indent=2) + "\n")


if __name__ == "__main__":
    main()
