"""The journal: what was said and synced is found again, and nothing else, however its end was torn."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import PlanError, WriteError
from qtquant_app.core.report import ErrorSums
from qtquant_app.engine import filesystem
from qtquant_app.engine.journal import NAME, Journal, read_journal, who_writes
from qtquant_app.engine.run_marks import FileMark, RunMarks

MARKS = RunMarks(
    digest="d",
    fingerprint="f",
    files={"model.safetensors": FileMark(10, 1_700_000_000_123_456_789, "s")},
    recipe={"version": 1},
    seed=3,
    texts={"config.json": "c"},
    device="cpu",
    arithmetic=1,
    layout=1,
    versions={"qtquant": "0.1"},
)
SUMS = ErrorSums(weights=5, square_error=0.1, square_weight=1 / 3, square_dequantized=2e-300, max_error=0.5)


def _written(folder: Path) -> Path:
    journal = Journal(folder)
    journal.start(MARKS)
    journal.tensors_done([("a", SUMS), ('b "é\u2028\n', None)])
    journal.shard_done("one.safetensors", "00")
    journal.tensors_done([("c", None)])
    journal.close()
    return folder / NAME


def test_what_was_said_is_found_again(tmp_path: Path) -> None:
    path = _written(tmp_path)
    past = read_journal(tmp_path)
    assert past is not None and past.marks == MARKS
    assert past.tensors == {"a": SUMS, 'b "é\u2028\n': None, "c": None}
    assert past.shards == {"one.safetensors": "00"}
    assert (past.nbytes, past.lost) == (path.stat().st_size, 0)


def test_what_is_undone_is_not_done_until_it_is_said_again(tmp_path: Path) -> None:
    _written(tmp_path)
    journal = Journal(tmp_path)
    journal.resume((tmp_path / NAME).stat().st_size, MARKS)
    journal.undone([("a", ["one.safetensors"]), ("unheard of", ["two.safetensors"])])
    past = read_journal(tmp_path)
    assert past is not None and past.tensors == {'b "é\u2028\n': None, "c": None} and past.shards == {}
    journal.tensors_done([("a", SUMS)])
    journal.shard_done("one.safetensors", "01")
    journal.close()
    past = read_journal(tmp_path)
    assert past is not None and past.tensors["a"] == SUMS and past.shards == {"one.safetensors": "01"}


def test_every_line_is_a_json_object(tmp_path: Path) -> None:
    kinds = [json.loads(line)["kind"] for line in _written(tmp_path).read_bytes().splitlines()]
    assert kinds == ["start", "tensor", "tensor", "shard", "tensor"]


@example(cut=0.75, junk=b"", change=(0.03125, 1))
@example(cut=0.68359375, junk=b"", change=(0.6796875, 1))
@given(
    cut=st.floats(0, 1),
    junk=st.binary(max_size=40),
    change=st.one_of(st.none(), st.tuples(st.floats(0, 1), st.integers(1, 255))),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_or_damaged_journal_says_no_more_than_was_said_and_can_be_gone_on_with(
    tmp_path: Path, cut: float, junk: bytes, change: tuple[float, int] | None
) -> None:
    whole = _written(tmp_path).read_bytes()
    data = bytearray(whole[: round(cut * len(whole))] + junk)
    if change is not None and data:
        data[round(change[0] * (len(data) - 1))] ^= change[1]
    (tmp_path / NAME).write_bytes(data)
    past = read_journal(tmp_path)
    if past is None:
        return
    assert whole.startswith(data[: past.nbytes]) and past.nbytes + past.lost == len(data)
    lines = whole[: past.nbytes].splitlines()
    assert len(past.tensors) + len(past.shards) == len(lines) - 1
    journal = Journal(tmp_path)
    journal.resume(past.nbytes, MARKS)
    journal.tensors_done([("more", None)])
    journal.close()
    again = read_journal(tmp_path)
    assert again is not None and again.tensors == past.tensors | {"more": None} and again.lost == 0


def test_a_journal_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"kind": "start", "version": 1, "digest": "x"}\n')
    with pytest.raises(PlanError, match="another version") as refused:
        read_journal(tmp_path)
    assert refused.value.code == "other-version"


def test_no_journal_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=NAME):
        read_journal(tmp_path)


def test_who_writes_is_the_process_that_came_last(tmp_path: Path) -> None:
    assert who_writes(tmp_path) == {}
    path = _written(tmp_path)
    assert who_writes(tmp_path)["pid"] == os.getpid()
    path.write_bytes(b"nonsense")
    assert who_writes(tmp_path) == {}


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk-full"), (errno.EIO, "write")])
def test_a_line_that_could_not_be_written_leaves_no_trace_and_can_be_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    journal = Journal(tmp_path)
    journal.start(MARKS)
    before = (tmp_path / NAME).read_bytes()
    real = filesystem.write

    def half(handle: int, data: memoryview) -> int:
        real(handle, data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filesystem, "write", half)
    with pytest.raises(WriteError, match=NAME) as failed:
        journal.tensors_done([("a", None)])
    assert failed.value.code == code and (tmp_path / NAME).read_bytes() == before
    monkeypatch.setattr(
        filesystem, "write", lambda handle, data: real(handle, data[:7])
    )  # short writes are gone on with
    journal.tensors_done([("a", None)])
    journal.close()
    past = read_journal(tmp_path)
    assert past is not None and past.tensors == {"a": None}
