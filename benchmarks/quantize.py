"""Quantizes a random checkpoint to 4 bits, group 128, round to nearest, with QtQuant and with others, and times whole processes.

usage: python -m benchmarks.quantize [--blocks 22] [--rounds 5] [--touch] [--folder DIR] [--json FILE]
                                     [--llama-python PYTHON] [--llmcompressor-python PYTHON] [--hqq-python PYTHON]

The checkpoint has 1.1 billion bfloat16 parameters in two shards; embedding, norms and head stay as they are everywhere. `cp` of
the same files is the yardstick of the disk. Everyone runs once unmeasured, then once a round in turn: A B C, A B C. Before each
run the last output is deleted, the disk is idle and the source is in the page cache. QtQuant returns with its bytes on the disk
and hashed; cp, llama.cpp, llm-compressor and HQQ return with theirs in the page cache.

A virtual machine whose host takes free memory back pays for each fresh page of output, several times what copying it costs, and
a run finds cheap the pages that the one before it freed. With --touch a file as large as the source is written and deleted before
each run, so that everyone finds as many such pages, as on a machine of its own. Say which way a table was made.

Each peer runs in an interpreter of its own, since their requirements exclude each other:
    python -m venv llama && llama/bin/pip install llama-cpp-python gguf numpy
    python -m venv llmc && llmc/bin/pip install torch && llmc/bin/pip install llmcompressor
    python -m venv hqq && hqq/bin/pip install torch && hqq/bin/pip install hqq safetensors
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.processes import Usage, machine, make_checkpoint, measured, qtquant, touch, tree_bytes, warm, workplace

PEERS = Path(__file__).resolve().parent / "peers"
OURS, COPY = "QtQuant, --verify none", "cp -r"
_SCHEME = ("--bits", "4", "--group-size", "128", "--symmetric", "--device", "cpu")


@dataclass
class Contestant:
    """One row of the table. `source` is what it reads, `out` where its command writes."""

    name: str
    source: Path
    out: Path
    command: Sequence[str | Path]
    runs: list[Usage] = field(default_factory=list)
    output_bytes: int = 0

    def run(self, *, touched: bool, keep: bool) -> None:
        """One run on an idle disk and a warm cache; its output is measured and deleted."""
        os.sync()
        warm(self.source)
        if touched:
            touch(self.out.parent, tree_bytes(self.source))
        usage = measured(self.command)
        self.output_bytes = tree_bytes(self.out)
        shutil.rmtree(self.out) if self.out.is_dir() else self.out.unlink()
        if keep:
            self.runs.append(usage)

    def ratio(self, other: Contestant) -> float:
        """Median over the rounds of the wall time in terms of the other's in the same round."""
        return median(mine.wall / his.wall for mine, his in zip(self.runs, other.runs, strict=True))


def contestants(source: Path, folder: Path, options: argparse.Namespace) -> list[Contestant]:
    """Everyone who can run, in the order of the table. Prints a line for each who is left out."""
    out = folder / "out"
    ours = qtquant("quantize", source, "-o", out, *_SCHEME)
    found = [
        Contestant(OURS, source, out, [*ours, "--verify", "none"]),
        Contestant("QtQuant, full verification", source, out, [*ours, "--verify", "full"]),
        Contestant(
            "QtQuant, --format qtquant --verify none", source, out, [*ours, "--format", "qtquant", "--verify", "none"]
        ),
        Contestant(COPY, source, out, ["cp", "-r", source, out]),
    ]
    if sys.platform == "linux":
        found.append(
            Contestant("cp -r, then sync", source, out, ["sh", "-c", 'cp -r "$0" "$1" && sync "$1"/*', source, out])
        )
    return found + _peers(source, folder, options)


def _peers(source: Path, folder: Path, options: argparse.Namespace) -> list[Contestant]:
    found: list[Contestant] = []
    if _given(options.llama_python, "llama.cpp", "--llama-python"):
        whole, out = folder / f"{source.name}.gguf", folder / "out.gguf"
        if not whole.exists():
            measured([options.llama_python, PEERS / "make_gguf.py", source, whole])
        words = [options.llama_python, PEERS / "llama_quantize.py", whole, out, str(os.cpu_count())]
        found.append(Contestant("llama.cpp, Q4_0 from F16", whole, out, words))
    out = folder / "out"
    if _given(options.llmcompressor_python, "llm-compressor", "--llmcompressor-python"):
        words = [options.llmcompressor_python, PEERS / "llmcompressor_quantize.py", source, out]
        found.append(Contestant("llm-compressor, model_free_ptq W4A16", source, out, words))
    if _given(options.hqq_python, "HQQ", "--hqq-python"):
        words = [options.hqq_python, PEERS / "hqq_quantize.py", source, out]
        found.append(Contestant("HQQ, round to nearest", source, out, words))
        if options.hqq_optimize:
            found.append(Contestant("HQQ, its solver", source, out, [*words, "--optimize"]))
    return found


def _given(python: str | None, peer: str, option: str) -> bool:
    if python is None:
        print(f"{peer} is left out: give the interpreter that has it with {option}")
    return python is not None


def compete(them: Sequence[Contestant], rounds: int, touched: bool) -> None:
    """A round to warm up, then `rounds` measured ones, everyone once in each."""
    for number in range(rounds + 1):
        for contestant in them:
            contestant.run(touched=touched, keep=number > 0)
        print(f"round {number} of {rounds} done" if number else "warm", file=sys.stderr)


def table(them: Sequence[Contestant]) -> str:
    """The figures as a markdown table."""
    by_name = {contestant.name: contestant for contestant in them}
    lines = [
        "| what | wall s, median | min-max | CPU s | peak MB | output MB | wall / cp | wall / ours |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for who in them:
        walls = [run.wall for run in who.runs]
        cells = [
            who.name,
            f"{median(walls):.2f}",
            f"{min(walls):.2f}-{max(walls):.2f}",
            f"{median(run.cpu for run in who.runs):.2f}",
            f"{max(run.peak_bytes for run in who.runs) / 1e6:.0f}",
            f"{who.output_bytes / 1e6:.0f}",
            f"{who.ratio(by_name[COPY]):.2f}",
            f"{who.ratio(by_name[OURS]):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def document(them: Sequence[Contestant], facts: Mapping[str, object]) -> dict[str, object]:
    """The figures for a program to read."""
    by_name = {contestant.name: contestant for contestant in them}
    rows = [
        {
            "name": who.name,
            "runs": [asdict(run) for run in who.runs],
            "output_bytes": who.output_bytes,
            "ratio_to_cp": who.ratio(by_name[COPY]),
            "ratio_to_ours": who.ratio(by_name[OURS]),
        }
        for who in them
    ]
    return {**facts, "results": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=22)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--touch", action="store_true", help="write and delete a file before each run")
    parser.add_argument("--folder", type=Path, help="where to work; checkpoints in it are kept and used again")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--llama-python", metavar="PYTHON")
    parser.add_argument("--llmcompressor-python", metavar="PYTHON")
    parser.add_argument("--hqq-python", metavar="PYTHON")
    parser.add_argument("--hqq-optimize", action="store_true", help="run HQQ's solver too, in a row of its own")
    options = parser.parse_args()
    with workplace(options.folder) as folder:
        source = folder / f"random-{options.blocks}-{options.shards}"
        make_checkpoint(source, options.blocks, options.shards)
        them = contestants(source, folder, options)
        compete(them, options.rounds, options.touch)
        nbytes = tree_bytes(source)
    print(
        f"\n{nbytes / 1e6:,.0f} MB of bfloat16 in {options.shards} shards; {options.rounds} rounds; {machine()}"
        f"{'; page cache touched' * options.touch}\n"
    )
    print(f"{table(them)}\n\nRatios are medians of the ratios within each round. Peaks are of resident memory.")
    if options.json:
        facts = {"source_bytes": nbytes, "rounds": options.rounds, "touched": options.touch, "machine": machine()}
        options.json.write_text(json.dumps(document(them, facts), indent=2) + "\n")


if __name__ == "__main__":
    main()
