"""Runs that can be killed at any moment: a process that has the engine loaded forks one for each, in a few milliseconds.

`python -m tests.killing WORDS` is that process. It first does the run itself that WORDS say, so that the kernels are there, and
has no other threads when it forks. Each line on stdin is the command line of a run, as JSON; it answers with the run's process id,
and, when that has ended, with its exit status, negative for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


class Killer:
    """Starts runs and kills them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        assert self._stdout.readline() == "ready\n"

    def run(self, words: Sequence[str], kill_after: float | None = None) -> tuple[int, float]:
        """Runs `qtquant WORDS`; SIGKILL after so many seconds. The exit status, and the seconds it took."""
        started = time.monotonic()
        self._stdin.write(json.dumps(list(words)) + "\n")
        self._stdin.flush()
        child = int(self._stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        self._stdin.write("wait\n")  # only then is it reaped, and its number free for another process
        self._stdin.flush()
        return int(self._stdout.readline()), time.monotonic() - started


@contextmanager
def killer(first: Sequence[str]) -> Iterator[Killer]:
    """A process that has done the run `first`, and forks others."""
    root = Path(__file__).parents[1]
    words = [sys.executable, "-m", "tests.killing", *first]
    process = subprocess.Popen(words, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


def _answer(value: object) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def _serve(first: Sequence[str]) -> None:
    from qtquant_app.cli.main import main
    from qtquant_app.engine import commit

    commit.SECONDS_BETWEEN_COMMITS = 0.02
    with Path(os.devnull).open("w") as nowhere:
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            assert main(first) == 0
        assert threading.active_count() == 1
        _answer("ready")
        for line in iter(sys.stdin.readline, ""):
            child = os.fork()
            if child == 0:
                with redirect_stdout(nowhere), redirect_stderr(nowhere):
                    os._exit(main(json.loads(line)))
            _answer(child)
            assert sys.stdin.readline() == "wait\n"
            _answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    _serve(sys.argv[1:])
