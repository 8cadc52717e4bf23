"""Runs a command as a process of its own and measures it: wall seconds, CPU seconds, peak resident memory.

Linux counts what the parent held at the moment of starting into the child's peak, so scripts that use this import no numpy, and
leave every large piece of work to a child. Not for Windows: the figures come from wait4.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

REPOSITORY = Path(__file__).resolve().parent.parent
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What a finished process took. CPU seconds and the peak include the children it waited for."""

    wall: float
    cpu: float
    peak_bytes: int


def measured(command: Sequence[str | Path]) -> Usage:
    """Runs `command` to its end. Raises RuntimeError with the end of what it said where it fails."""
    with tempfile.TemporaryFile() as log:
        started = perf_counter()
        process = start(command, log.fileno())
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            said = log.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said}")
    peak = used.ru_maxrss if sys.platform == "darwin" else used.ru_maxrss * 1024
    return Usage(wall, used.ru_utime + used.ru_stime, peak)


def start(command: Sequence[str | Path], output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Starts `command` in the repository, its words going to `output`."""
    words = [str(word) for word in command]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=REPOSITORY)


def qtquant(*words: str | Path) -> list[str | Path]:
    """The command line that runs `qtquant` with these words."""
    return [sys.executable, "-m", "qtquant_app", *words]


def make_checkpoint(folder: Path, blocks: int, shards: int) -> None:
    """Makes the random checkpoint, in another process, unless `folder` holds it already."""
    if not (folder / "config.json").exists():
        measured([sys.executable, "-m", "benchmarks.random_checkpoint", folder, "--blocks", str(blocks),
                  "--shards", str(shards)])  # fmt: skip


def tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def warm(*paths: Path) -> None:
    """Reads the files once, so that whoever reads them next finds them in the page cache."""
    buffer = bytearray(_BLOCK)
    for path in paths:
        for file in [path] if path.is_file() else path.iterdir():
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass


def touch(folder: Path, nbytes: int) -> None:
    """Takes so much page cache, by writing a file into `folder`, and gives it back."""
    scratch, block = folder / "scratch", bytes(_BLOCK)
    with scratch.open("wb", buffering=0) as stream:
        for _ in range(0, nbytes, len(block)):
            stream.write(block)
    scratch.unlink()


@contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """`folder`, kept afterwards with the checkpoints in it; or a temporary one, removed."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="qtquant-benchmark-") as made:
        yield Path(made)


def machine() -> str:
    """One line on the machine the figures are from."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores, {model or sys.platform}, Python {sys.version.split()[0]}"
