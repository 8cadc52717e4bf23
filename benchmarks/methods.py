"""Quantizes a language model with each of our methods and the peers' at 4, 3 and 2 bits, and judges all results the same way.

usage: python -m benchmarks.methods MODEL --text PROSE [--venvs FOLDER] [--only ours|peers|NAME] [--bits 4 3 2]
                                    [--results FILE.json] [--work FOLDER] [--again] [--write]
       python -m benchmarks.methods MODEL --race --venvs FOLDER [--bits 4] [--rounds 1] [--work FOLDER]

Group size 64 everywhere. Whoever needs a calibration gets the same 64 windows of 512 tokens of `pydoc_data.topics`
(benchmarks/method_tokens.py); all are judged on 16 x 512 tokens of PROSE (benchmarks/judge.py), which none has seen:
benchmarks/prose.py makes it out of a Debian package. Each cell is a process of its own, and its result is in FILE before the next
begins; cells that are there are not made again, unless --again is given. --write puts the table into README.md.

CPU seconds and peak memory are of the whole process, interpreter, loading and saving included; wall seconds are in FILE alone, as
they say something only where the machine had nothing else to do: the load average beside them says whether. `learned` reads 96
windows more that the model writes itself, as it does when nothing is said of them; the CPU seconds hold that. Bits per weight
are those of the quantized linear layers, by the rule in benchmarks/method_rows.py; `stored_bits` in FILE are those that the files
really take.
--race times the three GPTQs one after the other (benchmarks/method_race.py).

FOLDER holds an environment for each peer:
    python -m venv hqq && hqq/bin/pip install torch hqq safetensors
    python -m venv llm-compressor && llm-compressor/bin/pip install torch llmcompressor
    python -m venv gptqmodel && gptqmodel/bin/pip install torch transformers accelerate setuptools wheel numpy &&
        gptqmodel/bin/pip install gptqmodel --no-build-isolation
    python -m venv auto-round && auto-round/bin/pip install torch auto-round
The model: SmolLM2-135M-Instruct. Not for Windows: the figures come from wait4.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.method_race import race
from benchmarks.method_race import report as race_report
from benchmarks.method_results import Cell, add_cell, cell_of, is_done, read_cells, table, with_table
from benchmarks.method_rows import SAMPLES, SEQLEN, Method, chosen, ours, peers
from benchmarks.processes import REPOSITORY, measured


def main() -> None:
    # Threads that spin while they wait for each other would count as work where others have the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if options.race:
        print(race_report(race(options.model, options.bits[0], options.rounds, options.venvs, work.resolve())))
        return
    tokens = work / "tokens.json"
    if not tokens.exists():
        shape = ["--samples", str(SAMPLES), "--seqlen", str(SEQLEN)]
        measured([sys.executable, "-m", "benchmarks.method_tokens", options.model, tokens, *shape])
    for method in chosen(options.only) if options.text else ():
        for bits in (b for b in method.bits if b in options.bits):
            if options.again or not is_done(read_cells(options.results), method.name, bits):
                cell = made(method, bits, options, tokens)
                add_cell(options.results, cell)
                print(_said(cell), flush=True)
    drawn = table(read_cells(options.results).values(), [m.name for m in (*ours(), *peers())])
    if options.write:
        readme = REPOSITORY / "README.md"
        readme.write_text(with_table(readme.read_text(encoding="utf-8"), drawn), encoding="utf-8")
    else:
        print(drawn)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--text", type=Path, help="without it nothing is made, and the table is of what FILE has")
    parser.add_argument("--venvs", type=Path)
    parser.add_argument("--only", metavar="ours|peers|NAME")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    parser.add_argument("--results", type=Path, default=REPOSITORY / "out" / "methods.json")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "out" / "methods", help="for what is made on the way")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--race", action="store_true")
    parser.add_argument("--rounds", type=int, default=1, help="of the race")
    return parser.parse_args()


def made(method: Method, bits: int, options: argparse.Namespace, tokens: Path) -> Cell:
    """Quantizes and judges. What goes wrong is the cell's `error`."""
    out: Path = options.work.resolve() / "result"
    shutil.rmtree(out, ignore_errors=True)
    width = method.bits_per_weight(bits)
    try:
        before = os.getloadavg()[0]
        usage = measured(method.command(options.model, tokens.resolve(), out, bits, options.venvs))
        load = round((before + os.getloadavg()[0]) / 2, 2)
        said = judged(options.model, out, options.text, options.work / "original.npy")
    except (RuntimeError, ValueError, OSError, subprocess.CalledProcessError) as error:
        words = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
        return Cell(method.name, bits, width, error=words[-500:])
    wall, cpu = round(usage.wall, 1), round(usage.cpu, 1)
    return cell_of(method.name, bits, width, said, wall=wall, cpu=cpu, peak_bytes=usage.peak_bytes, load=load)


def judged(model: str, out: Path, text: Path, cache: Path) -> dict[str, Any]:
    """What benchmarks/judge.py says of the checkpoint in `out`, in a process of its own."""
    files = ["--text", str(text.resolve()), "--cache", str(cache.resolve())]
    command = [sys.executable, "-m", "benchmarks.judge", model, str(out), *files]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _said(cell: Cell) -> str:
    if cell.error:
        return f"{cell.name}, {cell.bits} bits: {cell.error}"
    return (
        f"{cell.name}, {cell.bits} bits: KL {cell.kl:.4f}, perplexity {cell.perplexity:.2f}, CPU {cell.cpu:.0f} s, "
        f"{cell.peak_bytes / 1e9:.2f} GB, load {cell.load}"
    )


if __name__ == "__main__":
    main()
