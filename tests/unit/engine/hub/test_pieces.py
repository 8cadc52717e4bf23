"""Pieces of files on disk: what was kept is what is read, whatever happens to the disk."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.engine.hub import pieces as module
from qtquant_app.engine.hub.claims import Claims
from qtquant_app.engine.hub.listing import hub_folder, listing
from qtquant_app.engine.hub.names import HubId
from qtquant_app.engine.hub.pieces import PIECE, Pieces
from qtquant_app.engine.hub.remote import HubRemote
from tests.hub.server import HubServer

DATA = bytes(range(251)) * 40
SPANS = st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 4000)), max_size=12)


def everything(pieces: Pieces, start: int, stop: int) -> bytes:
    """What is known of a range, as far as it is known without a gap."""
    found = b""
    while part := pieces.read(start + len(found), stop):
        found += part
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(SPANS, st.integers(0, len(DATA) - 1), st.integers(1, len(DATA)))
def test_every_byte_is_either_known_and_right_or_missing(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], start: int, count: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces") / "r" / "f"
    pieces = Pieces(folder)
    for at, length in spans:
        for first, last in pieces.missing(at, min(len(DATA), at + length)):
            pieces.keep(first, DATA[first:last])
    stop = min(len(DATA), start + count)
    known = {byte for at, length in spans for byte in range(at, min(len(DATA), at + length))}
    for reader in (pieces, Pieces(folder)):
        missing = reader.missing(start, stop)
        assert {byte for a, b in missing for byte in range(a, b)} == set(range(start, stop)) - known
        assert everything(reader, start, stop) == DATA[start : missing[0][0] if missing else stop]


def test_long_ranges_are_kept_in_pieces(tmp_path: Path) -> None:
    data = bytes(range(256)) * (5 * PIECE // 512)
    Pieces(tmp_path / "r" / "f").keep(3, data)
    assert len(list((tmp_path / "r" / "f").iterdir())) == 3
    assert everything(Pieces(tmp_path / "r" / "f"), 3, 3 + len(data)) == data


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "empty"])
def test_what_is_damaged_on_disk_is_fetched_again(hub: HubServer, damage: str) -> None:
    hub.add("org/model", {"model.safetensors": DATA})
    found, first, second = listing(HubId("org/model")), bytearray(3000), bytearray(3000)
    HubRemote(found).read_into("model.safetensors", 1000, memoryview(first))
    (path,) = [p for p in (hub_folder() / "ranges").rglob("*") if p.is_file()]
    raw = bytearray(path.read_bytes())
    raw[700] ^= 1
    path.unlink() if damage == "gone" else path.write_bytes({"flipped": raw, "cut": raw[:-5], "empty": b""}[damage])
    hub.sent.clear()
    HubRemote(found).read_into("model.safetensors", 1000, memoryview(second))
    assert bytes(first) == bytes(second) == DATA[1000:4000]
    assert hub.sent["org/model/model.safetensors"] == 3000


def test_a_cache_that_cannot_be_written_is_done_without(hub: HubServer) -> None:
    hub.add("org/model", {"model.safetensors": DATA})
    found, read = listing(HubId("org/model")), bytearray(3000)
    (hub_folder() / "ranges").parent.mkdir(parents=True, exist_ok=True)
    (hub_folder() / "ranges").write_text("a file where the folder would be")
    HubRemote(found).read_into("model.safetensors", 0, memoryview(read))
    assert bytes(read) == DATA[:3000]


def test_beyond_its_limit_the_pieces_not_asked_for_longest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_taken", {})
    pieces = Pieces(tmp_path / "r" / "f", limit=20_000)
    for at in range(0, 10_000, 1000):
        pieces.keep(at, DATA[at : at + 1000])
    old = sorted((tmp_path / "r" / "f").iterdir(), key=lambda path: int(path.name.partition("-")[0], 16))
    for age, path in enumerate(reversed(old)):
        __import__("os").utime(path, (1e9 - age, 1e9 - age))
    other = Pieces(tmp_path / "r" / "g", limit=8_000)
    other.keep(0, DATA[:1000])
    left = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert left <= 6_000 and not old[0].exists() and old[-1].exists()
    assert everything(Pieces(tmp_path / "r" / "f"), 9000, 10_000) == DATA[9000:10_000]
    assert not everything(pieces, 0, 1000)  # whoever knew of it sees that it is gone


def test_two_threads_that_want_the_same_bytes_transfer_them_once(hub: HubServer) -> None:
    hub.add("org/model", {"model.safetensors": DATA})
    remote, start = HubRemote(listing(HubId("org/model"))), threading.Barrier(6)
    read = [bytearray(4000) for _ in range(6)]

    def reading(view: bytearray) -> None:
        start.wait()
        remote.read_into("model.safetensors", 2000, memoryview(view))

    threads = [threading.Thread(target=reading, args=(view,)) for view in read]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(bytes(view) == DATA[2000:6000] for view in read)
    assert hub.sent["org/model/model.safetensors"] == 4000


def test_claims_that_overlap_wait_for_each_other_and_others_do_not() -> None:
    claims, second = Claims(), threading.Event()

    def claim() -> None:
        with claims.held(5, 15):
            second.set()

    with claims.held(0, 10):
        with claims.held(10, 20):
            pass
        thread = threading.Thread(target=claim)
        thread.start()
        assert not second.wait(0.1)
    thread.join()
    assert second.is_set()
