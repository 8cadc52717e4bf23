"""Small files are replaced in one step, and what is no file is written into."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from qtquant_app.engine.whole_file import write_file


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    write_file(file, "old")
    write_file(file, "new\u2028é\n")
    assert file.read_bytes() == "new\u2028é\n".encode() and list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_file(pipe, "through")
    reader.join(10)
    assert read == ["through"] and pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="this system has no such device")
def test_a_link_to_a_device_leaves_the_device_alone(tmp_path: Path) -> None:
    link = tmp_path / "sink"
    link.symlink_to("/dev/null")
    write_file(link, "gone")
    assert link.is_symlink() and Path("/dev/null").is_char_device()


def test_a_link_stays_a_link_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_file(tmp_path / "r.json", "\ud800")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
