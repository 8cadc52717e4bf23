"""The lock: one at a time, in one process or in several, and none after the process is gone."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qtquant_app.engine import lock
from qtquant_app.engine.lock import take

_HOLDS = """
import sys
from pathlib import Path
from qtquant_app.engine.lock import take
held = take(Path(sys.argv[1]))
sys.stdout.write("held\\n" if held else "refused\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _HOLDS, str(path)]
    repository = Path(__file__).parents[3]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=repository)


def _says(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_file_is_locked_once_and_again_after_its_release(tmp_path: Path) -> None:
    first = take(tmp_path / "file")
    assert first is not None and first.shared
    assert take(tmp_path / "file") is None
    assert take(tmp_path / "." / "file") is None
    first.release()
    first.release()
    second = take(tmp_path / "file")
    assert second is not None
    second.release()


def test_of_many_threads_one_gets_the_lock(tmp_path: Path) -> None:
    found = []
    start = threading.Barrier(8)

    def try_it() -> None:
        start.wait()
        found.append(take(tmp_path / "file"))

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [one for one in found if one is not None]
    assert len(found) == 8 and len(held) == 1
    held[0].release()


def test_another_process_keeps_it_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with _holder(path) as child:
        assert _says(child) == "held"
        assert take(path) is None
        with _holder(path) as second:
            assert _says(second) == "refused"
            second.kill()
        child.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        child.wait()
    mine = take(path)
    assert mine is not None
    with _holder(path) as third:
        assert _says(third) == "refused"
        third.kill()
    mine.release()


def test_a_file_that_is_gone_by_the_time_it_is_locked_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = lock._lock_handle

    def after_a_rename(handle: int) -> bool:
        (tmp_path / "file").rename(tmp_path / "elsewhere")
        return real(handle)

    monkeypatch.setattr(lock, "_lock_handle", after_a_rename)
    assert take(tmp_path / "file") is None
    monkeypatch.undo()
    assert take(tmp_path / "file") is not None


def test_a_drive_that_knows_no_locks_keeps_this_process_from_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def unknown(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    held = take(tmp_path / "file")
    assert held is not None and not held.shared
    assert take(tmp_path / "file") is None
    held.release()


def test_an_error_leaves_nothing_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        take(tmp_path / "no folder" / "file")
    (tmp_path / "no folder").mkdir()
    assert take(tmp_path / "no folder" / "file") is not None
