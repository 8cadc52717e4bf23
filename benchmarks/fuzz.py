"""Fuzzes the readers of foreign files: crashes, hangs over a second, allocations over twice the file.

    python -m benchmarks.fuzz --executions 1000000 --seed 1 [--reader header] [--keep DIR]

Mutants of good files and of whatever led to an answer that was not seen before go through each reader. A finding is anything
but a QtQuantError, an execution over a second, or one whose peak of traced memory is over twice the file and 1.5 MiB; its bytes
are kept in DIR, to be made a file of tests/fuzz/corpus. Memory is traced on each `EVERY`th execution, which slows it three times.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import tracemalloc
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from tests.fuzz.memory import allowed, peak_of
from tests.fuzz.mutation import mutated, swollen
from tests.fuzz.readers import READERS, Reader, outcome

EVERY = 20
SWOLLEN = 250
"""So many executions have one whose file was made large, for the readers that make something for each part of it."""
SIZES = (200_000, 1_000_000, 3_000_000)
_MOST_POOL = 2_000
_WAITED = 5.0
_LIMIT = 4 << 30
"""Bytes of data of the process: what would take all memory fails instead."""
_ITEM = re.compile(r"'.*'|\".*\"|\d+|0x[0-9a-f]+")


@dataclass
class Tally:
    """What came of a reader's executions."""

    executions: int = 0
    accepted: int = 0
    answers: set[str] = field(default_factory=set)
    crashes: dict[str, bytes] = field(default_factory=dict)
    hangs: list[bytes] = field(default_factory=list)
    hogs: list[bytes] = field(default_factory=list)
    slowest: float = 0.0
    hungriest: int = 0
    seconds: float = 0.0

    @property
    def findings(self) -> int:
        return len(self.crashes) + len(self.hangs) + len(self.hogs)


def fuzz(reader: Reader, executions: int, seed: int, folder: Path) -> Tally:
    """So many executions of one reader; the same seed gives the same."""
    random, tally = Random(f"{reader.name} {seed}"), Tally()
    pool = list(reader.seeds())
    for data in pool:
        outcome(reader, data, folder)  # what is imported and compiled once is no reader's doing
    began = perf_counter()
    for number in range(executions):
        data = pool[number] if number < len(pool) else mutated(random, pool)
        large = reader.bulk and number % SWOLLEN == SWOLLEN - 1
        if large:
            data = swollen(random, data, random.choice(SIZES))
        if (
            _once(reader, data, folder, tally, traced=large or number % EVERY == 0)
            and len(pool) < _MOST_POOL
            and not large
        ):
            pool.append(data)
    tally.seconds = perf_counter() - began
    return tally


def _once(reader: Reader, data: bytes, folder: Path, tally: Tally, *, traced: bool) -> bool:
    """One execution; whether its answer is of a kind that was not seen before."""
    if traced:
        tracemalloc.start()
    began = perf_counter()
    try:
        answer = outcome(reader, data, folder)
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        answer = f"{type(error).__name__} in {where}"
        tally.crashes.setdefault(answer, data)
    took = perf_counter() - began
    if traced:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        tally.hungriest = max(tally.hungriest, peak)
        if peak > allowed(reader, data) and peak_of(reader, data, folder) > allowed(reader, data):
            tally.hogs.append(data)  # twice: once it may have been a table of the interpreter that grew
    if took > (4.0 if traced else 1.0) and _again(reader, data, folder) > 1.0:
        tally.hangs.append(data)
    tally.slowest = max(tally.slowest, 0.0 if traced else took)
    tally.executions += 1
    tally.accepted += not answer
    kind = _ITEM.sub("_", answer)[:160]
    fresh = kind not in tally.answers
    tally.answers.add(kind)
    return fresh


def _again(reader: Reader, data: bytes, folder: Path) -> float:
    """Seconds of the quicker of two more executions: of the processor, unless it waits, since the machine is busy with others."""
    times = []
    for _ in range(2):
        began, busy = perf_counter(), process_time()
        with suppress(Exception):
            outcome(reader, data, folder)
        waited, worked = perf_counter() - began, process_time() - busy
        times.append(waited if waited > _WAITED else worked)
    return min(times)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=[reader.name for reader in READERS])
    parser.add_argument("--keep", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    readers = [reader for reader in READERS if options.reader is None or reader.name in options.reader]
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT, _LIMIT))
    share = options.executions / sum(reader.share for reader in readers)
    total = findings = 0
    print(
        f"{'reader':10}{'executions':>12}{'read':>10}{'answers':>9}{'a second':>10}{'slowest':>10}{'peak':>10}  findings"
    )
    for reader in readers:
        with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            tally = fuzz(reader, round(share * reader.share), options.seed, Path(folder))
        total, findings = total + tally.executions, findings + tally.findings
        print(
            f"{reader.name:10}{tally.executions:12,}{tally.accepted:10,}{len(tally.answers):9}"
            f"{tally.executions / tally.seconds:10,.0f}{tally.slowest * 1000:8.1f}ms{tally.hungriest / 1000:8.0f}kB"
            f"  {len(tally.crashes)} crashes, {len(tally.hangs)} hangs, {len(tally.hogs)} over twice the file",
            flush=True,
        )
        _keep(reader, tally, options.keep)
    print(f"{total:,} executions, {findings} findings")
    return 1 if findings else 0


def _keep(reader: Reader, tally: Tally, keep: Path | None) -> None:
    for words in tally.crashes:
        print(f"    {words}", file=sys.stderr)
    if keep is None:
        return
    for data in (*tally.crashes.values(), *tally.hangs[:5], *tally.hogs[:5]):
        file = keep / reader.name / sha256(data).hexdigest()[:12]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


if __name__ == "__main__":
    raise SystemExit(main())
