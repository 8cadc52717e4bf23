"""Ranges of a file while the network, the Hub or the file itself misbehaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import SourceError
from qtquant_app.engine.hub import ranges as module
from qtquant_app.engine.hub.listing import Listing, listing
from qtquant_app.engine.hub.names import HubId
from qtquant_app.engine.hub.ranges import Ranges
from qtquant_app.engine.hub.remote import HubRemote
from tests.hub.exchange import Fault
from tests.hub.repos import Account
from tests.hub.server import HubServer

FILE = "model.safetensors"
DATA = bytes(range(256)) * 1200
TOKEN = "hf_made_up_for_a_test_only"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, none of them in truth."""
    found: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=found.append))
    return found


@pytest.fixture
def found(hub: HubServer) -> Listing:
    hub.add("org/model", {FILE: DATA, "small.json": b"{}" * 300})
    made = listing(HubId("org/model"))
    hub.sent.clear()
    return made


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(SourceError) as error:
        work()
    assert error.value.hint and "\n" not in error.value.message and TOKEN not in str(error.value)
    return error.value.code


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 5000), st.integers(0, 3000))
def test_any_range_arrives_whole_however_often_it_is_cut(
    hub: HubServer, found: Listing, waits: list[float], start: int, count: int, cut: int
) -> None:
    stop = min(len(DATA), start + count)
    hub.sent.clear()
    hub.faults = [Fault("/stored/", cut=cut, times=3)]
    assert Ranges(found).get(FILE, start, stop) == DATA[start:stop]
    assert hub.sent[f"org/model/{FILE}"] == stop - start  # what came before the cut was not asked for again


def test_a_hub_that_asks_for_patience_gets_it(hub: HubServer, found: Listing, waits: list[float]) -> None:
    hub.faults = [Fault(FILE, status=429, headers={"Retry-After": "7"}), Fault(FILE, status=503)]
    assert Ranges(found).get(FILE, 10, 20) == DATA[10:20]
    assert waits == [7.0, 1.0]


def test_a_hub_that_asks_for_more_patience_than_there_is_is_told(
    hub: HubServer, found: Listing, waits: list[float]
) -> None:
    hub.faults = [Fault(FILE, status=429, headers={"Retry-After": "86400"}, times=-1)]
    assert code_of(lambda: Ranges(found).get(FILE, 10, 20)) == "hub-rate" and not waits


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_hub_that_never_recovers_is_told_after_a_few_tries(
    hub: HubServer, found: Listing, waits: list[float], status: int
) -> None:
    hub.faults = [Fault(FILE, status=status, times=-1)]
    assert code_of(lambda: Ranges(found).get(FILE, 10, 20)) == "hub-refused"
    assert 3 <= len(waits) < 10 and sum(waits) < 60


def test_a_stall_is_waited_for_no_longer_than_the_client_would(
    hub: HubServer, found: Listing, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    hub.faults = [Fault("/stored/", stall=1.0)]
    began = time.monotonic()
    assert Ranges(found).get(FILE, 10, 20) == DATA[10:20]
    assert 0.25 < time.monotonic() - began < 0.95 and len(waits) == 1


def test_a_file_that_has_changed_is_told_whatever_betrays_it(hub: HubServer, found: Listing) -> None:
    repo = hub.repos["org/model"]
    repo.commit = lambda revision: found.commit  # type: ignore[method-assign] - a Hub that rewrites a commit
    repo.revisions["main"][FILE] = DATA[::-1]
    assert code_of(lambda: Ranges(found).get(FILE, 0, 10)) == "source-changed"
    repo.revisions["main"][FILE] = DATA + b"more"
    assert code_of(lambda: Ranges(found).get(FILE, 0, 10)) == "source-changed"
    repo.revisions["main"]["small.json"] = b"[]" * 300
    assert code_of(lambda: Ranges(found).get("small.json", 0, 10)) == "source-changed"


def test_a_file_that_has_become_shorter_is_told(hub: HubServer, found: Listing) -> None:
    ranges = Ranges(found)
    ranges.get(FILE, 0, 10)
    hub.faults = [Fault("/stored/", status=416)]
    assert code_of(lambda: ranges.get(FILE, 10, 20)) == "source-changed"


def test_a_signed_address_that_has_run_out_is_asked_for_anew(hub: HubServer, found: Listing) -> None:
    ranges = Ranges(found)
    ranges.get(FILE, 0, 10)
    asked = len(hub.asked)
    assert ranges.get(FILE, 10, 20) == DATA[10:20]
    assert [path[:8] for _, path in hub.asked[asked:]] == ["/stored/"]
    hub.faults = [Fault("/stored/", status=403)]
    assert ranges.get(FILE, 20, 30) == DATA[20:30]
    assert [path[:8] for _, path in hub.asked[-3:]] == ["/stored/", "/org/mod", "/stored/"]


def test_a_signed_address_that_runs_out_for_several_at_once_is_asked_for_anew_by_each(
    hub: HubServer, found: Listing
) -> None:
    ranges = Ranges(found)
    ranges.get(FILE, 0, 10)
    hub.faults = [Fault("/stored/", status=403, stall=0.3, times=3)]
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(lambda at: ranges.get(FILE, at, at + 10), (10, 20, 30)))
    assert b"".join(parts) == DATA[10:40] and not hub.faults[0].times


def test_no_token_goes_to_where_files_are_stored(
    hub: HubServer, found: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    ranges = Ranges(found)
    ranges.get(FILE, 0, 10)
    ranges.get(FILE, 10, 20)
    with_token = [path for (_, path), token in zip(hub.asked, hub.tokens, strict=True) if TOKEN in token]
    assert with_token == [f"/org/model/resolve/{found.commit}/{FILE}"]
    assert sum(path.startswith("/stored/") for _, path in hub.asked) == 2


def test_a_token_that_expires_in_between_is_told(
    hub: HubServer, found: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.accounts[TOKEN] = Account(left=1)
    ranges = Ranges(found)
    assert ranges.get("small.json", 0, 10) == b"{}" * 5
    assert code_of(lambda: ranges.get("small.json", 10, 20)) == "hub-token"


def test_a_server_without_ranges_is_told_and_not_drunk_dry(hub: HubServer, found: Listing) -> None:
    whole = module.Ranges._target

    def without_range(self: Ranges, file: str) -> tuple[str, dict[str, str]]:
        url, headers = whole(self, file)
        return url, _Deaf(headers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ranges, "_target", without_range)
        assert code_of(lambda: Ranges(found).get(FILE, 10, 20)) == "hub-ranges"


class _Deaf(dict[str, str]):
    """Headers among which no Range stays."""

    def __or__(self, other: object) -> _Deaf:
        return self

    __ior__ = __or__  # type: ignore[assignment]


def test_what_arrives_wrong_on_the_way_to_the_disk_is_not_what_is_read_later(hub: HubServer, found: Listing) -> None:
    first, second = bytearray(5000), bytearray(5000)
    HubRemote(found).read_into(FILE, 100, memoryview(first))
    hub.asked.clear()
    HubRemote(found).read_into(FILE, 100, memoryview(second))
    assert bytes(first) == bytes(second) == DATA[100:5100] and not hub.asked
