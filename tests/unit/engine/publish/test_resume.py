"""Uploads that are stopped: at once, whenever that is, with nothing to be seen of them, and nothing finished is sent twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from qtquant_app.core.events import ChunkDone, Event, FileTransferred, RunStarted
from qtquant_app.core.publication import Destination, PublishedFile
from qtquant_app.engine.publish.publish import publish
from qtquant_app.engine.publish.sending import Item, Sender
from qtquant_app.engine.publish.state import unfinished
from tests.hub.client import environment
from tests.hub.exchange import Fault
from tests.hub.server import HubServer
from tests.hub.writing import store_of
from tests.unit.engine.publish.results import REPO, TOKEN, driven

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def shown(hub: HubServer) -> set[str]:
    """What anybody can see of the repository."""
    return set(hub.repos[REPO].revisions["main"]) - {".gitattributes"} if REPO in hub.repos else set()


def started(output: Path, hub: HubServer, tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    variables = environment(hub.url, tmp_path) | {"HF_TOKEN": TOKEN}
    command = [sys.executable, "-m", "qtquant_app", "upload", str(output), REPO, *words]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


@pytest.mark.parametrize("stalls_at", ["/put/", "commit"])
def test_a_killed_upload_goes_on_without_sending_what_has_arrived(
    hub: HubServer, output: Path, tmp_path: Path, stalls_at: str
) -> None:
    hub.faults.append(Fault(stalls_at, after=stalls_at == "/put/", stall=60.0))
    killed = started(output, hub, tmp_path)
    store = store_of(hub)
    arrived = 1 if stalls_at == "/put/" else 2
    wait_for(lambda: hub.faults[0].times == 0 and len(store.puts) == arrived)
    if os.path.exists(f"/proc/{killed.pid}/cmdline"):  # noqa: PTH110
        assert TOKEN not in Path(f"/proc/{killed.pid}/cmdline").read_text()
    wait_for(lambda: unfinished() and len(unfinished()[0].sent) >= arrived)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert shown(hub) == set()
    (left,) = unfinished()
    assert left.repo == REPO and left.output == str(output) and TOKEN not in str(left.to_json())
    finished = {digest for digest, _ in store.puts}
    told: list[Event] = []
    done = driven(publish(output, Destination(REPO)), told)
    assert shown(hub) == {path.name for path in output.iterdir()} | {"README.md"}
    for digest in finished:
        assert sum(1 for put, _ in store.puts if put == digest) == 1, "sent once"
    assert {file.sha256 for file in done.files if not file.sent} == finished
    assert unfinished() == ()
    begun = [event for event in told if isinstance(event, RunStarted)][-1]
    assert begun.resumed_tensors >= arrived


def test_an_upload_closed_anywhere_shows_nothing_and_goes_on(hub: HubServer, output: Path) -> None:
    steps = len(list(publish(output, Destination("org/counted"))))
    for stop in range(1, steps, 3):
        events = publish(output, Destination(REPO))
        for _ in range(stop):
            if next(events, None) is None:
                break
        events.close()
        assert shown(hub) == set() or "README.md" in shown(hub), "all or nothing"
    driven(publish(output, Destination(REPO)))
    assert set(SHARDS) < shown(hub) and "config.json" in shown(hub)


def test_closing_does_not_wait_for_a_hub_that_says_nothing(hub: HubServer, output: Path) -> None:
    hub.faults.append(Fault("/put/", times=9, stall=30.0))
    events = publish(output, Destination(REPO))
    for event in events:
        if isinstance(event, FileTransferred):
            break
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 10 and shown(hub) == set()


def test_a_paused_upload_sends_nothing(hub: HubServer) -> None:
    from huggingface_hub import HfApi

    hub.add(REPO, {})
    data, api = os.urandom(1 << 20) * 40, HfApi()
    file = PublishedFile("model.safetensors", len(data), hashlib.sha256(data).hexdigest())
    with Sender([Item(file, data)], lambda made: api.preupload_lfs_files(REPO, [made]), lambda sent: None) as sender:
        events = sender.run()
        while not (isinstance(event := next(events), ChunkDone) and event.bytes):
            pass
        time.sleep(0.5)
        assert not store_of(hub).puts, "all of it takes a tenth of that"
        sending = driven(events)
    assert sending.bytes_sent == len(data) and store_of(hub).blobs[REPO, file.sha256] == data


def test_a_connection_that_another_thread_lost_is_opened_again(hub: HubServer) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import get_session

    hub.add(REPO, {})
    closed, api, data, tries = type(get_session())(), HfApi(), b"x" * 5000, 0
    closed.close()

    def transfer(made: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            closed.get(hub.url)  # raises what a client does that was closed under its feet
        api.preupload_lfs_files(REPO, [made])

    file = PublishedFile("model.safetensors", len(data), hashlib.sha256(data).hexdigest())
    with Sender([Item(file, data)], transfer, lambda sent: None) as sender:
        assert driven(sender.run()).bytes_sent == len(data) and tries == 2


def test_what_the_hub_lost_in_the_meantime_is_sent_again(hub: HubServer, output: Path) -> None:
    hub.faults.append(Fault("commit", times=1, status=403))
    with pytest.raises(Exception, match="no right to write"):
        driven(publish(output, Destination(REPO)))
    assert len(unfinished()) == 1
    store_of(hub).blobs.clear()
    driven(publish(output, Destination(REPO)))
    assert set(SHARDS) < shown(hub)


def test_a_state_that_is_damaged_or_cannot_be_written_stops_nothing(
    hub: HubServer, output: Path, own_cache: Path
) -> None:
    (own_cache / "uploads").mkdir()
    (own_cache / "uploads" / "x.json").write_text("{")
    assert unfinished() == ()
    driven(publish(output, Destination(REPO)))
    (own_cache / "uploads" / "x.json").unlink()
    (own_cache / "uploads").rmdir()
    (own_cache / "uploads").write_text("a file where the folder would be")
    driven(publish(output, Destination("org/again")))
    assert "config.json" in hub.repos["org/again"].revisions["main"]
