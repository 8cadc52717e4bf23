"""Commits: the file is synced before the journal speaks of it, and after a sync that failed nothing is said any more."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtquant_app.core.errors import WriteError
from qtquant_app.core.plan import OutFile
from qtquant_app.engine import commit, filesystem
from qtquant_app.engine.commit import Committer, sha256_of
from qtquant_app.engine.journal import Journal, Past, read_journal
from qtquant_app.engine.output import OutputFolder
from tests.unit.engine.test_journal import MARKS


@pytest.fixture(autouse=True)
def commit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "SECONDS_BETWEEN_COMMITS", 0.0)


@pytest.fixture
def out(tmp_path: Path) -> OutputFolder:
    folder = OutputFolder(tmp_path / "out")
    folder.create()
    for name in ("one", "two"):
        folder.allocate(OutFile(name, 4, 64, ()), b"head")
    return folder


@pytest.fixture
def committer(out: OutputFolder) -> Iterator[Committer]:
    journal = Journal(out.partial)
    journal.start(MARKS)
    committer = Committer(out, journal)
    yield committer
    committer.close()


def _past(out: OutputFolder) -> Past:
    past = read_journal(out.partial)
    assert past is not None
    return past


def test_a_file_is_synced_before_the_journal_speaks_of_it(
    out: OutputFolder, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, say = OutputFolder.sync, Journal.tensors_done

    def synced(self: OutputFolder, file: str) -> None:
        sync(self, file)
        order.append(f"synced {file}")

    def said(self: Journal, errors: object) -> None:
        told = list(errors)  # type: ignore[call-overload]
        order.extend(f"said {name}" for name, _ in told)
        say(self, told)

    monkeypatch.setattr(OutputFolder, "sync", synced)
    monkeypatch.setattr(Journal, "tensors_done", said)
    committer.tensor_done("one", "a", None)
    committer.shard_done("one")
    assert list(committer.finished_shards(wait=True)) == [("one", sha256_of(out.partial / "one"))]
    assert order == ["synced one", "said a"]
    assert _past(out).shards == {"one": sha256_of(out.partial / "one")}


def test_after_a_sync_that_failed_nothing_more_is_said(
    out: OutputFolder, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = OutputFolder.sync, []

    def fails_once(self: OutputFolder, file: str) -> None:
        calls.append(file)
        if len(calls) == 1:
            raise WriteError(f"{file} is gone", code="write")
        real(self, file)

    monkeypatch.setattr(OutputFolder, "sync", fails_once)
    for name in ("a", "b", "c"):
        with pytest.raises(WriteError, match="one is gone"):
            committer.tensor_done("one", name, None)
            committer.shard_done("one")
            list(committer.finished_shards(wait=True))
    committer.close()
    assert calls == ["one"] and _past(out).tensors == {} and _past(out).shards == {}


def test_a_sync_that_finds_the_disk_full_is_final(
    out: OutputFolder, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(filesystem, "fsync", full)
    with pytest.raises(WriteError, match="two") as failed:
        committer.tensor_done("two", "a", None)  # raises where the commit has failed by then
        list(committer.finished_shards(wait=True))
    assert failed.value.code == "write"


def test_what_a_full_disk_kept_from_the_journal_is_said_when_there_is_room(
    out: OutputFolder, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "write", full)
        with pytest.raises(WriteError) as failed:
            committer.tensor_done("one", "a", None)
            list(committer.finished_shards(wait=True))
        assert failed.value.code == "disk-full"
        with pytest.raises(WriteError):
            committer.retry()
    committer.retry()
    assert set(_past(out).tensors) == {"a"}
    committer.shard_done("one")
    assert [file for file, _ in committer.finished_shards(wait=True)] == ["one"]


def test_a_close_commits_what_is_waiting_and_raises_nothing(
    out: OutputFolder, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "SECONDS_BETWEEN_COMMITS", 60.0)
    committer.tensor_done("one", "a", None)
    committer.close()
    assert set(_past(out).tensors) == {"a"}
