"""Measures how long a cancelled run takes to end: SIGINT at random moments, then --resume, then a comparison of the bytes.

usage: python -m benchmarks.cancel [--rows 128256] [--columns 8192] [--trials 10] [--methods rtn mse] [--folder DIR] [--json FILE]

The checkpoint is one very large matrix in the first shard and a smaller one in the second, so that a signal can arrive while a
chunk is computed, while the first shard is synced and hashed, and while the result is verified. After each signal there may be
OUT.partial, or nothing where the run had not begun to write, or a whole OUT where it had just been published.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from threading import Timer
from time import perf_counter, sleep

from benchmarks.processes import machine, measured, qtquant, start, workplace

_LATE = 30.0
_CANCELLED, _SIGNALLED = 130, -signal.SIGINT


@dataclass(frozen=True, slots=True)
class Trial:
    """One cancelled run. `after` and `took` are seconds to the signal and from it; `left` is what stood there then."""

    method: str
    after: float
    took: float
    status: int
    left: str
    same: bool


def command(source: Path, out: Path, method: str, *more: str) -> list[str | Path]:
    words = ["--bits", "4", "--group-size", "128", "--symmetric", "--device", "cpu", "--method", method]
    return qtquant("quantize", source, "-o", out, *words, *more)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file of a result."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                found[str(path.relative_to(folder))] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def left_behind(out: Path) -> str:
    """What of the run is there: `nothing`, `partial`, `whole`, or `wrong`."""
    there = sorted(path.name.removeprefix(out.name) for path in out.parent.glob(f"{out.name}*"))
    return {(): "nothing", (".partial",): "partial", ("",): "whole"}.get(tuple(there), "wrong")


def trial(source: Path, out: Path, method: str, after: float, wanted: dict[str, str]) -> Trial:
    """Cancels one run after so many seconds, resumes it, compares, and cleans up."""
    process = start(command(source, out, method))
    sleep(after)
    signalled = perf_counter()
    process.send_signal(signal.SIGINT)
    status = ended(process)
    took, left = perf_counter() - signalled, left_behind(out)
    if left != "whole":
        measured(command(source, out, method, "--resume"))
    same = digests(out) == wanted
    shutil.rmtree(out)
    return Trial(method, after, took, status, left, same)


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit status, the moment there is one; a process that does not heed the signal is killed after a while."""
    late = Timer(_LATE, process.kill)
    late.start()
    try:
        # A wait with a timeout polls, and would add up to 50 ms to what is measured.
        return process.wait()
    finally:
        late.cancel()


def trials(source: Path, folder: Path, method: str, count: int, seed: int) -> list[Trial]:
    """`count` runs, each cancelled at a random moment of the time an undisturbed one takes."""
    out, chance = folder / "out", random.Random(seed)
    measured(command(source, out, method))
    shutil.rmtree(out)
    duration = measured(command(source, out, method)).wall
    wanted = digests(out)
    shutil.rmtree(out)
    print(f"{method}: undisturbed {duration:.2f} s", file=sys.stderr)
    done: list[Trial] = []
    for _ in range(count):
        done.append(trial(source, out, method, chance.uniform(0, duration), wanted))
        print(done[-1], file=sys.stderr)
    return done


def faults(found: Sequence[Trial]) -> list[str]:
    """Sentences on what should not have been."""
    said = [f"{t.method} at {t.after:.2f} s left files that are neither OUT.partial nor a whole OUT" for t in found
            if t.left == "wrong"]  # fmt: skip
    said += [f"{t.method} at {t.after:.2f} s: --resume made other bytes" for t in found if not t.same]
    # A signal before the program is up ends Python itself; one after the end finds a run that succeeded.
    allowed = {"nothing": {_CANCELLED, _SIGNALLED, 1}, "partial": {_CANCELLED}, "whole": {_CANCELLED, _SIGNALLED, 0}}
    said += [f"{t.method} at {t.after:.2f} s left {t.left} and ended with {t.status}" for t in found
             if t.status not in allowed.get(t.left, ())]  # fmt: skip
    return said


def table(found: Sequence[Trial], methods: Sequence[str]) -> str:
    """The figures as a markdown table."""
    head = "| method | runs | median s | 90% s | longest s | at s | left partial / whole / nothing | resumed to the same bytes |"
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for method in methods:
        mine = sorted((t for t in found if t.method == method), key=lambda t: t.took)
        took = [t.took for t in mine]
        ninety = took[min(len(took) - 1, round(0.9 * (len(took) - 1)))]
        lefts = [t.left for t in mine]
        left = " / ".join(str(lefts.count(word)) for word in ("partial", "whole", "nothing"))
        lines.append(
            f"| {method} | {len(took)} | {median(took):.3f} | {ninety:.3f} | {took[-1]:.3f} | {mine[-1].after:.2f} "
            f"| {left} | {sum(t.same for t in mine)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=128256)
    parser.add_argument("--columns", type=int, default=8192)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--methods", nargs="+", default=["rtn", "mse"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found: list[Trial] = []
    with workplace(options.folder) as folder:
        source = folder / "source"
        measured([sys.executable, "-m", "benchmarks.large_tensor", source, str(options.rows), str(options.columns)])
        for method in options.methods:
            found += trials(source, folder, method, options.trials, options.seed)
        shutil.rmtree(source)
    print(f"{options.rows} x {options.columns} in bfloat16; {machine()}\n\n{table(found, options.methods)}")
    wrong = faults(found)
    print("\n".join(wrong) if wrong else "\nNothing went wrong: only OUT.partial was left, and --resume finished it.")
    if options.json:
        facts = {"machine": machine(), "trials": [asdict(t) for t in found], "faults": wrong}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
