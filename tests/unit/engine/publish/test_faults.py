"""What goes wrong on the way: what passes is waited for, the rest is told apart in one sentence, and nothing half done is seen."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from qtquant_app.core.errors import PublishError
from qtquant_app.core.events import Event, RunStarted, Waiting, Warned
from qtquant_app.core.publication import Destination, Published
from qtquant_app.engine.publish import waiting
from qtquant_app.engine.publish.publish import publish
from tests.hub.client import point_at
from tests.hub.exchange import Fault
from tests.hub.repos import Account
from tests.hub.server import HubServer, serving
from tests.hub.writing import store_of
from tests.unit.engine.publish.results import REPO, TOKEN, driven

WEIGHTS = "model-00001-of-00002.safetensors"


@pytest.fixture(autouse=True)
def no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own waits between its tries take no time here."""
    hurried = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", hurried)


def published(output: Path, told: list[Event] | None = None) -> Published:
    done: Published = driven(publish(output, Destination(REPO)), told)
    return done


def refused(output: Path, repo: str = REPO) -> PublishError:
    with pytest.raises(PublishError) as found:
        driven(publish(output, Destination(repo)))
    text = found.value.message + found.value.hint
    assert "\n" not in text and found.value.hint and "http" not in text and TOKEN not in text
    return found.value


def shows_nothing(hub: HubServer) -> bool:
    """Whether no repository shows anything of a result."""
    return not any(set(files) - {".gitattributes"} for repo in hub.repos.values() for files in repo.revisions.values())


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    "path",
    ["whoami", "/api/models/[^/]+/[^/]+$", "create", "preupload", "batch", "/put/", "/verify/", "commit", "tree"],
)
def test_what_passes_is_waited_for_wherever_it_happens(hub: HubServer, output: Path, path: str, status: int) -> None:
    hub.faults.append(Fault(path, times=2, status=status))
    published(output)
    assert hub.faults[0].times == 0, "the fault was met"
    assert (
        hub.repos[REPO].revisions["main"][WEIGHTS] == (output / WEIGHTS).read_bytes() and len(hub.repos[REPO].log) == 1
    )


def test_the_hub_says_how_long_to_wait_and_that_is_told(hub: HubServer, output: Path) -> None:
    hub.faults.append(Fault("whoami", status=429, headers={"Retry-After": "1"}))
    told: list[Event] = []
    published(output, told)
    waits = {event.text for event in told if isinstance(event, Waiting)}
    assert any("after 1.0 s" in text for text in waits)


def test_a_connection_that_is_lost_in_a_file_sends_it_again(hub: HubServer, output: Path) -> None:
    hub.faults.append(Fault("/put/", method="PUT", cut=20_000))
    published(output)
    assert hub.repos[REPO].revisions["main"][WEIGHTS] == (output / WEIGHTS).read_bytes()


def test_a_commit_whose_answer_is_lost_is_made_once(hub: HubServer, output: Path) -> None:
    hub.faults.append(Fault("commit", lost=True))
    done = published(output)
    assert len(hub.repos[REPO].log) == 1 and done.commit == hub.repos[REPO].log[0][1]


def test_a_pull_request_whose_answer_is_lost_is_not_opened_twice(hub: HubServer, output: Path) -> None:
    hub.add("other/small", {})
    hub.faults.append(Fault("commit", lost=True))
    with pytest.raises(PublishError) as found:
        driven(publish(output, Destination("other/small", pull_request=True)))
    assert found.value.code == "hub-unsure" and len(store_of(hub).proposed) == 1
    told: list[Event] = []
    driven(publish(output, Destination("other/small", pull_request=True)), told)
    assert any(isinstance(event, Warned) and event.code == "pull-request" for event in told)


def test_a_hub_that_stays_busy_is_given_up(hub: HubServer, output: Path) -> None:
    hub.faults.append(Fault("batch", times=99, status=503))
    error = refused(output)
    assert error.code == "hub-busy" and "503" in error.message and shows_nothing(hub)


def test_no_token_is_told_before_anything_is_asked(
    hub: HubServer, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert refused(output).code == "hub-no-token" and not hub.asked


def test_a_token_that_nobody_has_is_told(hub: HubServer, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_or_old")
    error = refused(output)
    assert error.code == "hub-token" and "hf_wrong_or_old" not in str(error) and not hub.repos


@pytest.mark.parametrize("left", range(1, 12))
def test_a_token_that_expires_in_between_leaves_nothing_to_be_seen(hub: HubServer, output: Path, left: int) -> None:
    hub.accounts[TOKEN] = Account("someone", left=left)
    error = refused(output)
    assert error.code == "hub-token" and "expired" in error.message and shows_nothing(hub)
    hub.accounts[TOKEN] = Account("someone")
    published(output)
    assert hub.repos[REPO].revisions["main"][WEIGHTS] == (output / WEIGHTS).read_bytes()


def test_a_repository_of_somebody_else_is_told_from_a_token_without_rights(hub: HubServer, output: Path) -> None:
    hub.add("other/small", {})
    error = refused(output, "other/small")
    assert error.code == "hub-not-yours" and "--pull-request" in error.hint
    assert refused(output, "nobody/small").code == "hub-not-yours" and "nobody/small" not in hub.repos
    hub.faults.append(Fault("create", status=403))
    assert refused(output).code == "hub-read-only"
    assert not store_of(hub).puts


def test_what_there_is_no_room_for_is_told(hub: HubServer, output: Path) -> None:
    store_of(hub).room = 30_000
    assert refused(output).code == "hub-quota" and shows_nothing(hub)
    store_of(hub).room = None
    hub.faults.append(Fault("batch", times=99, status=413))
    assert refused(output).code == "hub-quota"


@pytest.mark.parametrize("spoil", ["seen", "unseen"])
def test_what_arrives_with_another_content_is_told(hub: HubServer, output: Path, spoil: str) -> None:
    store_of(hub).spoil = spoil
    error = refused(output)
    assert error.code == "hub-hash" and "sha256" in error.message


def test_a_file_that_changes_after_it_was_verified_is_not_published(hub: HubServer, output: Path) -> None:
    data, started = (output / WEIGHTS).read_bytes(), 0
    with pytest.raises(PublishError) as found:
        for event in publish(output, Destination(REPO)):
            started += isinstance(event, RunStarted)
            if started == 2:
                (output / WEIGHTS).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert found.value.code == "changed" and WEIGHTS in found.value.message and shows_nothing(hub)


def test_somebody_elses_commit_in_between_is_not_built_upon(hub: HubServer, output: Path) -> None:
    hub.add(REPO, {})
    hub.faults.append(Fault("commit", status=412))
    assert refused(output).code == "hub-changed" and shows_nothing(hub)


def test_without_a_network_that_is_told_at_once(hub: HubServer, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TRIES", 2)
    with serving() as gone:
        point_at(gone.url, monkeypatch)
    assert refused(output).code == "hub-offline" and not hub.asked
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    error = refused(output)
    assert error.code == "hub-offline" and "HF_HUB_OFFLINE" in error.message


def test_a_hub_that_says_nothing_is_told_and_given_up(
    hub: HubServer, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(waiting, "GIVE_UP_SECONDS", 0.3)
    hub.faults.append(Fault("batch", times=99, stall=1.5))
    told: list[Event] = []
    with pytest.raises(PublishError) as found:
        published(output, told)
    assert found.value.code == "hub-stalled" and any(isinstance(event, Waiting) for event in told)


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1]\n", b"no http at all", b""])
def test_what_is_no_hub_is_told(hub: HubServer, output: Path, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TRIES", 2)
    hub.raw = raw
    assert refused(output).code in ("hub-answer", "hub-offline", "hub-refused")
