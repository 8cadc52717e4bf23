"""What a second scan knows, and what never makes one fail."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from qtquant_app.core.events import TensorScanned
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import TensorStats
from qtquant_app.engine import scan_cache
from qtquant_app.engine.scan import cached_scan, scan
from qtquant_app.engine.scan_cache import Known, ScanCache, content_key, default_file
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import finish
from tests.unit.engine.scans import SCHEMES, W3, W4, W8, age, events_of, fresh, scanned

STATS = TensorStats(4, 0, -1.5, 2.0, 0.1, 1.25, -0.5, 0, 1, 0, 0, 0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return age(small_llama(tmp_path / "m", shards=2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache/scans.sqlite3"


def test_the_second_scan_reads_nothing_and_finds_the_same(source: Path, file: Path) -> None:
    first = scanned(source, file)
    events, second = events_of(source, file)
    assert fresh(events) == [] and second.tensors == first.tensors
    assert (first.cached, second.cached) == (0, len(second.tensors))
    assert cached_scan(open_checkpoint(source), SCHEMES, device="cpu", cache=file) == second


def test_a_scan_under_more_schemes_measures_only_what_is_new(source: Path, file: Path) -> None:
    scanned(source, file, (W4,))
    checkpoint = open_checkpoint(source)
    assert cached_scan(checkpoint, (W4, W8), device="cpu", cache=file) is None
    events, report = events_of(source, file, (W4, W8))
    assert len(fresh(events)) == sum(bool(tensor.reports) for tensor in report.tensors)
    assert report.tensors == scanned(source, False, (W4, W8)).tensors
    assert cached_scan(checkpoint, (W8,), device="cpu", cache=file) is not None


def test_the_size_is_that_of_the_format_asked_for_also_from_the_cache(source: Path, file: Path) -> None:
    scanned(source, file)
    checkpoint = open_checkpoint(source)
    for format in ("compressed-tensors", "qtquant"):
        warm = cached_scan(checkpoint, SCHEMES, format=format, device="cpu", cache=file)
        cold = finish(scan(checkpoint, SCHEMES, format=format, device="cpu", cache=False))[1]
        assert warm is not None and warm.tensors == cold.tensors


def test_a_file_with_other_content_of_the_same_size_is_read_again(source: Path, file: Path) -> None:
    scanned(source, file)
    shard = source / "model-00001-of-00002.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 0x01
    shard.write_bytes(data)
    os.utime(shard, (2e9 - 1e9, 1e9))  # even with the time stamp put back, where the system keeps a second one
    events, report = events_of(source, file)
    assert report.tensors == scanned(source).tensors
    changed = fresh(events)
    assert len(changed) == 1 and report.cached == len(report.tensors) - 1


def test_weights_that_moved_or_were_copied_are_known_by_their_content(source: Path, file: Path, tmp_path: Path) -> None:
    first = scanned(source, file)
    copy = age(Path(shutil.copytree(source, tmp_path / "copy")))
    assert cached_scan(open_checkpoint(copy), SCHEMES, device="cpu", cache=file) is None
    events, second = events_of(copy, file)
    assert fresh(events) == [] and second.tensors == first.tensors
    assert cached_scan(open_checkpoint(copy), SCHEMES, device="cpu", cache=file) is not None


def test_a_file_changed_a_moment_ago_is_not_trusted_by_its_time_stamp(tmp_path: Path, file: Path) -> None:
    source = small_llama(tmp_path / "m")
    scanned(source, file)
    assert cached_scan(open_checkpoint(source), SCHEMES, device="cpu", cache=file) is None
    events, _ = events_of(source, file)
    assert fresh(events) == []  # the hash of what was read is known all the same


def test_equal_bytes_of_another_shape_are_another_content(tmp_path: Path, file: Path) -> None:
    tensors = llama_tensors(1)
    weight = tensors["model.layers.0.mlp.down_proj.weight"]
    tensors["model.layers.0.mlp.up_proj.weight"] = weight.clone().reshape(128, 64)
    source = write_checkpoint(tmp_path / "m", tensors)
    assert scanned(source, file).tensors == scanned(source).tensors


def test_closing_a_scan_keeps_what_was_complete(source: Path, file: Path) -> None:
    whole = scanned(source)
    work = scan(open_checkpoint(source), SCHEMES, device="cpu", cache=file)
    done = []
    while len(done) < 7:
        event = next(work)
        if isinstance(event, TensorScanned):
            done.append(event.scan.name)
    work.close()
    events, report = events_of(source, file)
    assert report.tensors == whole.tensors and not set(done) & set(fresh(events)) and report.cached >= 7


@pytest.mark.parametrize("damage", ["garbage", "cut", "middle", "version", "empty"])
def test_a_damaged_cache_is_made_anew(source: Path, file: Path, damage: str) -> None:
    expected = scanned(source, file).tensors
    data = bytearray(file.read_bytes())
    if damage == "version":
        connection = sqlite3.connect(file)
        connection.execute("pragma user_version=999")
        connection.close()
    elif damage == "middle":
        data[4096:] = b"\xa5" * (len(data) - 4096)
        file.write_bytes(data)
    else:
        file.write_bytes({"garbage": b"not a database at all" * 1000, "cut": bytes(data[:5000]), "empty": b""}[damage])
    assert scanned(source, file).tensors == expected
    assert scanned(source, file).cached == len(expected)


def test_flipped_bits_of_an_entry_are_noticed(source: Path, file: Path) -> None:
    expected = scanned(source, file)
    connection = sqlite3.connect(file)
    for key, blob in connection.execute("select key, known from contents").fetchall():
        wrong = bytes([*blob[:-1], blob[-1] ^ 1])
        connection.execute("update contents set known=? where key=?", (wrong, key))
    connection.commit()
    connection.close()
    report = scanned(source, file)
    assert report.tensors == expected.tensors and report.cached == 0


def test_a_cache_that_cannot_be_used_is_done_without(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    expected = scanned(source).tensors
    for place in (tmp_path / "file/scans.sqlite3", tmp_path / "folder"):
        assert scanned(source, place).tensors == expected
        assert cached_scan(open_checkpoint(source), SCHEMES, device="cpu", cache=place) is None
    assert (tmp_path / "file").read_text() == "in the way" and (tmp_path / "folder").is_dir()


def test_a_locked_cache_delays_a_scan_but_fails_nothing(
    source: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_cache, "_BUSY_SECONDS", 0.05)
    expected = scanned(source, file, (W4,)).tensors
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin exclusive")
    more = scanned(source, file, (W4, W3)).tensors
    assert [tensor.report(W4) for tensor in more] == [tensor.report(W4) for tensor in expected]
    other.execute("rollback")
    other.close()
    assert scanned(source, file, (W4,)).tensors == expected


def test_two_scans_at_once_keep_what_both_found(file: Path) -> None:
    key = content_key(b"content", "BF16", (2, 2), "cpu")
    sums = ErrorSums(4, 0.1, 0.2, 0.3, 0.4)
    with ScanCache(file) as one, ScanCache(file) as two:
        one.learn(key, Known(STATS, {b"scheme 1": sums}))
        two.learn(key, Known(STATS, {b"scheme 2": sums}))
    with ScanCache(file) as later:
        assert later.known([key])[key] == Known(STATS, {b"scheme 1": sums, b"scheme 2": sums})


def test_numbers_come_back_as_they_were(file: Path) -> None:
    sums = ErrorSums(4, 5e-324, 1.7976931348623157e308, float("inf"), 0.1 + 0.2)
    with ScanCache(file) as cache:
        cache.learn(b"k", Known(STATS, {b"a scheme": sums}))
        cache.remember(b"file", b"content")
    with ScanCache(file) as cache:
        assert cache.known([b"k", b"other"]) == {b"k": Known(STATS, {b"a scheme": sums})}
        assert cache.hashes([b"file", b"other"]) == {b"file": b"content"}


def test_beyond_its_bound_the_oldest_entries_go(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(40):
        monkeypatch.setattr(scan_cache, "time", lambda at=at: 1000.0 * at)
        with ScanCache(file, max_bytes=100_000) as cache:
            for number in range(50):
                cache.learn(
                    f"{at} {number}".encode(),
                    Known(STATS, {bytes([n]) * 8: ErrorSums(4, 1, 1, 1, 1) for n in range(3)}),
                )
    with ScanCache(file) as cache:
        assert cache.known([b"39 0"]) and not cache.known([b"0 0"])
    assert file.stat().st_size < 200_000


def test_the_environment_says_where_the_cache_is(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "elsewhere"))
    scanned(source, True, (W4,))
    assert default_file() == tmp_path / "elsewhere/scans.sqlite3" and default_file().is_file()
    assert scanned(source, True, (W4,)).cached == len(open_checkpoint(source).tensors)


def test_a_file_that_changes_under_a_scan_leaves_nothing_wrong_behind(source: Path, file: Path) -> None:
    work = scan(open_checkpoint(source), SCHEMES, device="cpu", cache=file)
    for _ in range(3):
        next(work)
    for shard in source.glob("*.safetensors"):
        data = bytearray(shard.read_bytes())
        data[-40_000:] = data[-40_000:][::-1]
        shard.write_bytes(data)
    finish(work)
    age(source)
    assert scanned(source, file).tensors == scanned(source).tensors


def test_a_cancelled_scan_does_not_wait_for_another_process(tmp_path: Path) -> None:
    file = tmp_path / "scans.sqlite3"
    ScanCache(file).close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin immediate")
    waited: list[str] = []
    with pytest.raises(GeneratorExit), ScanCache(file) as store:
        store.remember(b"key", b"content")
        store._connection.set_trace_callback(waited.append)  # type: ignore[union-attr]
        raise GeneratorExit
    other.rollback()
    other.close()
    assert not any("busy_timeout" in line for line in waited)
