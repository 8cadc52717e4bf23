"""Holds what a plan predicts against what a run comes to: bytes, peak memory, seconds; each run is a process of its own.

usage: python -m benchmarks.prediction MODEL [MODEL ...] [--folder DIR] [--json FILE]

Every recipe is planned with `--probe` in one process, then carried out and verified in another.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.processes import REPOSITORY, machine, workplace

RECIPES = {
    "W4 g32 sym": ("--bits", "4", "--group-size", "32"),
    "W3 g32 asym": ("--bits", "3", "--group-size", "32", "--asymmetric"),
    "W4 g64 asym mse": ("--bits", "4", "--group-size", "64", "--asymmetric", "--method", "mse"),
    "W8 channel, A8": ("--bits", "8", "--strategy", "channel", "--activations", "int8"),
    "W8 tensor": ("--bits", "8", "--strategy", "tensor"),
    "W4 g32, qtquant": ("--bits", "4", "--group-size", "32", "--format", "qtquant"),
}


def document(*words: str) -> dict[str, Any]:
    """What a command prints with --json."""
    command = [sys.executable, "-m", "qtquant_app", *words, "--device", "cpu", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return dict(json.loads(done.stdout))


def compared(model: str, words: tuple[str, ...], folder: Path) -> dict[str, float]:
    """Predicted and measured of one recipe."""
    out = folder / "out"
    try:
        plan = document("plan", model, *words, "--probe")
        done = document("quantize", model, "-o", str(out), *words)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return {
        "bytes_predicted": plan["output_bytes"],
        "bytes": done["output_bytes"],
        "ram_predicted": done["predicted"]["peak_ram_bytes"],
        "ram": done["peak_ram_bytes"],
        "seconds_predicted": plan["seconds_estimate"],
        "seconds": done["seconds"],
    }


def line(model: str, recipe: str, found: dict[str, float]) -> str:
    """A row of the table."""
    exact = "exact" if found["bytes"] == found["bytes_predicted"] else "WRONG"
    ram, seconds = found["ram_predicted"] / found["ram"], found["seconds_predicted"] / found["seconds"]
    sizes = f"{found['ram_predicted'] / 1e6:.0f} / {found['ram'] / 1e6:.0f} | {ram:.2f}"
    times = f"{found['seconds_predicted']:.2f} / {found['seconds']:.2f} | {seconds:.2f}"
    return f"| {Path(model).name} | {recipe} | {exact} | {sizes} | {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--folder", type=Path, help="where to work")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    print(
        f"{machine()}\n\n| model | recipe | bytes | peak MB, predicted / measured | ratio | s, predicted / measured | ratio |"
    )
    print("|---|---|---|---:|---:|---:|---:|")
    with workplace(options.folder) as folder:
        document(
            "quantize", "sample", "-o", str(folder / "first"), "--group-size", "32"
        )  # compiles what is not compiled yet
        for model in options.models:
            for recipe, words in RECIPES.items():
                found = compared(model, words, folder)
                rows.append({"model": model, "recipe": recipe, **found})
                print(line(model, recipe, found), flush=True)
        shutil.rmtree(folder / "first", ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
