"""GGUF files of ours beside those that llama.cpp's own quantizer makes of the same float16 file: bytes, seconds, perplexity.

    python -m benchmarks.gguf_files MODEL PYTHON [--type Q4_K_M ...] [--no-perplexity]

PYTHON is that of an environment with llama-cpp-python. Seconds are of whole processes, interpreter start included; ours reads
the checkpoint, llama.cpp its float16 file. Perplexity is llama.cpp's, over 8 windows of 512 tokens of the second half of Python's
language reference.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import REPOSITORY, Usage, measured

FILE_TYPES = {"Q8_0": 7, "Q4_0": 2, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "Q3_K_M": 12, "Q2_K": 10, "Q4_K_S": 14}
"""enum llama_ftype in llama.h."""

_PEER = REPOSITORY / "benchmarks" / "peers" / "llama_perplexity.py"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("python", type=Path)
    parser.add_argument("--type", dest="types", action="append", choices=FILE_TYPES)
    parser.add_argument("--no-perplexity", dest="perplexity", action="store_false")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        _compare(options, Path(folder))


def _compare(options: argparse.Namespace, folder: Path) -> None:
    types = options.types or [name for name in FILE_TYPES if name != "Q4_K_S"]
    base = folder / "F16"
    _ours(options.model, "F16", base)
    float16 = base / "model.gguf"
    rows = []
    for name in types:
        took = _ours(options.model, name, folder / name)
        theirs = folder / f"{name}.gguf"
        usage = measured([options.python, _PEER, "--quantize", str(FILE_TYPES[name]), str(float16), str(theirs)])
        rows.append((name, folder / name / "model.gguf", theirs, took, usage))
    files = [float16, *(file for row in rows for file in row[1:3])]
    found = _perplexities(options.python, folder, files) if options.perplexity else [float("nan")] * len(files)
    print(f"perplexity of the float16 file: {found[0]:.4f}\n")
    print("| type | bytes, ours and llama.cpp's | wall s | CPU s | perplexity | ours / llama.cpp's |")
    print("|---|---:|---:|---:|---:|---:|")
    for at, (name, ours, theirs, took, usage) in enumerate(rows):
        own, other = found[2 * at + 1 : 2 * at + 3]
        same = "the same" if ours.stat().st_size == theirs.stat().st_size else f"{theirs.stat().st_size:,}"
        print(
            f"| {name} | {ours.stat().st_size:,}, {same} | {took.wall:.1f}, {usage.wall:.1f} | {took.cpu:.1f}, {usage.cpu:.1f} "
            f"| {own:.4f}, {other:.4f} | {100 * (own / other - 1):+.2f}% |"
        )


def _ours(model: str, preset: str, out: Path) -> Usage:
    program = [sys.executable, "-m", "qtquant_app", "quantize", model, "-o", str(out)]
    return measured([*program, "--preset", preset, "--verify", "none"])


def _perplexities(python: Path, folder: Path, files: Sequence[Path]) -> list[float]:
    from qtquant_app.engine.text import read_text

    _, second = read_text("default").halves()
    text = folder / "text.txt"
    text.write_text("".join(second.slices(40, 3000)), encoding="utf-8")
    done = subprocess.run([python, _PEER, text, *files], check=True, capture_output=True, text=True)
    return [json.loads(line)["perplexity"] for line in done.stdout.splitlines() if line.startswith("{")]


if __name__ == "__main__":
    main()
