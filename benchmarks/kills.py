"""Kills a run by SIGKILL again and again, resumes it each time, and holds what comes of it against the undisturbed result.

usage: python -m benchmarks.kills [--kills 200] [--blocks 4] [--seed 1] [--folder DIR] [--json FILE]

The kills come at random moments between the run's start and its end. After each, OUT must be absent or the whole result, and
`verify` must refuse OUT.partial, under whatever name. A run that gets to its end is compared byte for byte, and begun anew.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import file_digest
from pathlib import Path
from time import monotonic

from benchmarks.processes import machine, workplace
from benchmarks.random_checkpoint import write_random
from qtquant_app.core.errors import VerifyError
from qtquant_app.engine.journal import NAME as JOURNAL
from qtquant_app.engine.journal import read_journal
from qtquant_app.engine.output import RECORD, partial_of
from qtquant_app.engine.verify import verify
from tests.driving import result
from tests.killing import Killer, killer

_SCHEME = ("--bits", "4", "--group-size", "128", "--device", "cpu")


@dataclass
class Tally:
    """What the kills came to. `moments` says how far the run was, by what stood in the folder afterwards."""

    kills: int = 0
    finished: int = 0
    most_kills_of_one_run: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def contents(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a result, less what a run killed right after its end had no time to remove."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != JOURNAL:
            with path.open("rb") as stream:
                found[path.name] = file_digest(stream, "sha256").hexdigest()
    return found


def look(output: Path, expected: dict[str, str], tally: Tally) -> None:
    """What must hold after a kill."""
    partial = partial_of(output)
    tally.moments[_moment(output, partial)] += 1
    if output.exists() and not (contents(output) == expected and result(verify(output)).ok):
        tally.wrong.append(f"after kill {tally.kills} OUT is not the result")
    if not partial.exists():
        return
    for name in (partial, output.with_name("another-name")):
        partial.rename(name)
        if _accepted(name) and contents(name) != expected:
            tally.wrong.append(f"after kill {tally.kills} verify accepts an unfinished {name.name}")
        name.rename(partial)
    if _accepted(partial):
        tally.wrong.append(f"after kill {tally.kills} verify accepts OUT.partial")


def _moment(output: Path, partial: Path) -> str:
    if output.exists():
        return "the result in place"
    if not (partial / JOURNAL).exists():
        return "nothing yet"
    past = read_journal(partial)
    if past is None or not (past.tensors or past.shards):
        return "no tensor done"
    return "the record written" if (partial / RECORD).exists() else "tensors done"


def _accepted(folder: Path) -> bool:
    try:
        return result(verify(folder)).ok
    except VerifyError:
        return False


def kill(runs: Killer, source: Path, output: Path, kills: int, seed: int, whole: tuple[dict[str, str], float]) -> Tally:
    """Runs and kills until there have been `kills`, then lets the last run end."""
    words = ["quantize", str(source), "-o", str(output), *_SCHEME, "--resume"]
    tally, chance, (expected, seconds), in_a_row = Tally(), random.Random(seed), whole, 0
    while True:
        ending = tally.kills >= kills
        status, _ = runs.run(words, None if ending else chance.uniform(0.0, 1.0) * seconds)
        if status not in (0, -9) and not output.exists():
            tally.wrong.append(f"the run after kill {tally.kills} ended with {status}")
        if status == -9:
            tally.kills, in_a_row = tally.kills + 1, in_a_row + 1
            look(output, expected, tally)
        if output.exists():
            tally.finished += 1
            tally.most_kills_of_one_run, in_a_row = max(tally.most_kills_of_one_run, in_a_row), 0
            if contents(output) != expected:
                tally.wrong.append(f"the result after kill {tally.kills} is not the undisturbed one")
            shutil.rmtree(output)
        if ending or len(tally.wrong) > 9:
            return tally


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with workplace(options.folder) as folder:
        nbytes = write_random(folder / "source", options.blocks, shards=4)
        words = ["quantize", str(folder / "source"), "-o", str(folder / "whole"), *_SCHEME, "--overwrite"]
        started = monotonic()
        with killer(words) as runs:
            _, seconds = runs.run(words)
            expected = contents(folder / "whole")
            found = kill(runs, folder / "source", folder / "out", options.kills, options.seed, (expected, seconds))
        took = monotonic() - started
    print(f"{machine()}\nsource of {nbytes / 1e6:,.0f} MB in 4 shards; an undisturbed run takes {seconds:.2f} s")
    print(f"{found.kills} kills in {took:,.0f} s; {found.finished} runs came to their end, one after ", end="")
    print(f"{found.most_kills_of_one_run} kills")
    for moment, count in found.moments.most_common():
        print(f"{count:6}  {moment}")
    print(
        "\n".join(found.wrong)
        or "Every result is the undisturbed one to the byte; nothing unfinished was taken for one."
    )
    if options.json:
        options.json.write_text(json.dumps(asdict(found) | {"seconds": seconds}, indent=1))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
