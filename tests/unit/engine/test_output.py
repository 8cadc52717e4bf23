"""The output folder: what is in the way is refused, what stands there gives way in one step, and nothing beside it is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtquant_app.core.errors import PlanError, VerifyError, WriteError
from qtquant_app.core.plan import OutFile
from qtquant_app.engine import filesystem
from qtquant_app.engine.journal import NAME as JOURNAL
from qtquant_app.engine.output import RECORD, REPLACED, OutputFolder, check_output, leftovers, settle
from qtquant_app.engine.record import read_record


def _result(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(text)
    return folder


def _finished(output: Path) -> OutputFolder:
    out = OutputFolder(output)
    out.create()
    (out.partial / JOURNAL).write_text("{}\n")
    out.write_whole(RECORD, b"new")
    out.write_whole("folder/file", b"text")
    return out


def test_a_result_is_replaced_and_what_stands_beside_it_is_not_touched(tmp_path: Path) -> None:
    _result(tmp_path / "out", "old")
    _result(tmp_path / "out.replaced", "the user's own")
    assert _finished(tmp_path / "out").publish() == ()
    assert (tmp_path / "out" / RECORD).read_text() == "new" and (tmp_path / "out/folder/file").read_text() == "text"
    assert leftovers(tmp_path / "out") == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.replaced"]


def test_a_result_behind_a_link_is_replaced_by_a_folder_and_stays_where_it_is(tmp_path: Path) -> None:
    _result(tmp_path / "elsewhere", "old")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    assert _finished(tmp_path / "out").publish() == ()
    assert (tmp_path / "out" / RECORD).read_text() == "new" and not (tmp_path / "out").is_symlink()
    assert (tmp_path / "elsewhere" / RECORD).read_text() == "old"


def test_an_old_result_that_a_stopped_run_had_moved_away_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(BaseException):
        pass

    _result(tmp_path / "out", "old")
    out, real = _finished(tmp_path / "out"), filesystem.rename

    def stop_before_the_second(old: Path, new: Path) -> None:
        if old == out.partial:
            raise Stop
        real(old, new)

    monkeypatch.setattr(filesystem, "rename", stop_before_the_second)
    with pytest.raises(Stop):
        out.publish()
    monkeypatch.undo()
    assert not (tmp_path / "out").exists()
    with pytest.raises(VerifyError, match="was being replaced") as told:
        read_record(tmp_path / "out")
    assert "--resume" in told.value.hint
    settle(tmp_path / "out")
    assert (tmp_path / "out" / RECORD).read_text() == "old"
    assert (out.partial / RECORD).read_text() == "new" and not (out.partial / REPLACED).exists()


def test_an_old_result_is_never_put_back_over_a_newer_one(tmp_path: Path) -> None:
    out = _finished(tmp_path / "out")
    _result(out.partial / REPLACED, "old")
    _result(tmp_path / "out", "another")
    with pytest.raises(PlanError, match="another stands there") as refused:
        settle(tmp_path / "out")
    assert refused.value.code == "replaced"
    assert (out.partial / REPLACED / RECORD).read_text() == "old"


def test_what_cannot_be_removed_in_the_end_is_named_and_the_result_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _result(tmp_path / "out", "old")
    out = _finished(tmp_path / "out")

    def stuck(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filesystem, "remove", stuck)
    assert set(out.publish()) == {tmp_path / "out" / JOURNAL, tmp_path / "out" / REPLACED}
    assert (tmp_path / "out" / RECORD).read_text() == "new"


def test_emptying_the_folder_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    out = _finished(tmp_path / "out")
    (out.partial / "link").symlink_to(tmp_path / "mine")
    (out.partial / "folder" / "link").symlink_to(tmp_path / "mine")
    out.clear()
    assert [path.name for path in out.partial.iterdir()] == [JOURNAL]
    assert (tmp_path / "mine/thesis.txt").read_text() == "mine"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    out = _finished(tmp_path / "out")
    (out.partial / "one.safetensors").symlink_to(tmp_path / "thesis.txt")
    for work in (
        lambda: out.allocate(OutFile("one.safetensors", 1, 8, ()), b"h"),
        lambda: out.write("one.safetensors", 0, b"x"),
        lambda: out.write_whole("one.safetensors", b"x"),
    ):
        with pytest.raises(WriteError, match=r"one\.safetensors"):
            work()
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("there", "resume", "overwrite", "code"),
    [
        ((), False, False, ""),
        (("out/qtquant.json",), False, False, "exists"),
        (("out/qtquant.json",), False, True, ""),
        (("out/thesis.txt",), True, True, "not-ours"),
        (("out.partial/journal.jsonl",), False, False, "unfinished"),
        (("out.partial/journal.jsonl",), True, False, ""),
        (("out.partial/journal.jsonl",), False, True, ""),
        (("out.partial/thesis.txt",), True, True, "not-ours"),
        (("out/qtquant.json", "out.partial/journal.jsonl"), True, False, "exists"),
    ],
)
def test_what_is_in_the_way_is_refused(
    tmp_path: Path, there: tuple[str, ...], resume: bool, overwrite: bool, code: str
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    if not code:
        check_output(tmp_path / "out", resume=resume, overwrite=overwrite)
        return
    with pytest.raises(PlanError) as refused:
        check_output(tmp_path / "out", resume=resume, overwrite=overwrite)
    assert refused.value.code == code
    assert ("--resume --overwrite" in refused.value.hint) == (len(there) == 2)


def test_the_journal_of_a_run_that_had_no_time_to_say_a_word_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / JOURNAL).touch()
    check_output(tmp_path / "out", resume=False, overwrite=False)
