"""Holds the peak memory of runs against the ceiling they were given; each run is a process of its own.

usage: python -m benchmarks.ceiling [--ceilings 250 400 600] [--gigabytes 2] [--folder DIR] [--json FILE]

Three checkpoints whose largest tensor has so many gigabytes: square, of short rows, and of 64 rows. Every result of one checkpoint
and scheme must have the same hashes. A ceiling too low is refused, and the least that works is named instead of a peak.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.processes import REPOSITORY, machine, measured, qtquant, workplace

SCHEMES = {
    "W4 g128 sym": ("--bits", "4", "--group-size", "128"),
    "W4 g32 asym": ("--bits", "4", "--group-size", "32", "--asymmetric"),
    "W8 channel": ("--bits", "8", "--strategy", "channel"),
}


def shapes(gigabytes: float) -> dict[str, tuple[int, int]]:
    """Rows and columns of the largest tensor, in bfloat16."""
    weights = int(gigabytes * (1 << 29))
    side = int(weights**0.5) // 256 * 256
    return {"square": (side, side), "short rows": (weights // 256, 256), "long rows": (64, weights // 64)}


def run(source: Path, out: Path, ceiling: int, words: tuple[str, ...]) -> dict[str, Any] | str:
    """The report of a run below `ceiling` megabytes, or the least ceiling where it is refused."""
    command = qtquant(
        "quantize", source, "-o", out, *words, "--device", "cpu", "--max-memory", f"{ceiling}MB", "--json"
    )
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False, cwd=REPOSITORY
        )
        if not done.returncode:
            return dict(json.loads(done.stdout))
        least = re.search(r"--max-memory (\d+)MB", done.stderr)
        if least is None:
            raise RuntimeError(done.stderr)
        return least[1]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def line(shape: str, scheme: str, ceiling: int, found: dict[str, Any] | str) -> str:
    """A row of the table."""
    if isinstance(found, str):
        return f"| {shape} | {scheme} | {ceiling} | refused: at least {found} | | |"
    peak, said = found["peak_ram_bytes"] / 1e6, found["predicted"]["peak_ram_bytes"] / 1e6
    verdict = "" if peak <= ceiling else " ABOVE"
    return f"| {shape} | {scheme} | {ceiling} | {peak:.0f}{verdict} | {said:.0f} | {found['seconds']:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ceilings", type=int, nargs="+", default=[250, 400, 600], metavar="MB")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of the largest tensor")
    parser.add_argument("--folder", type=Path, help="where to work")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{machine()}\n\n| shape | scheme | ceiling MB | peak MB | predicted MB | s |\n|---|---|---:|---:|---:|---:|")
    with workplace(options.folder) as folder:
        for shape, (height, width) in shapes(options.gigabytes).items():
            source = folder / shape.replace(" ", "-")
            if not source.exists():
                measured([sys.executable, "-m", "benchmarks.large_tensor", source, str(height), str(width)])
            for scheme, words in SCHEMES.items():
                hashes = set()
                for ceiling in options.ceilings:
                    found = run(source, folder / "out", ceiling, words)
                    print(line(shape, scheme, ceiling, found), flush=True)
                    rows.append(
                        {"shape": [height, width], "scheme": scheme, "ceiling": ceiling * 10**6, "found": found}
                    )
                    if not isinstance(found, str):
                        hashes.add(json.dumps(found["sha256"]))
                if len(hashes) > 1:
                    raise SystemExit(f"{shape}, {scheme}: the bytes depend on the ceiling")
            if options.folder is None:
                shutil.rmtree(source)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
