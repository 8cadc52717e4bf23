"""A run that downloads while it quantizes, killed again and again: its result, what was sent, and what it took of the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hub.client import environment
from tests.hub.exchange import Fault
from tests.hub.server import HubServer
from tests.unit.engine.fetching.models import ID, SHARDS, Model, contents, quantized, sharded

ROOT = Path(__file__).parents[4]
KILLS = (0.2, 0.5, 0.8)
"""Shares of the model that are sent by then."""


class Peak(threading.Thread):
    """The most bytes that the files of a folder have taken at any time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self.bytes = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.001):
            self.bytes = max(self.bytes, taken(self._folder))


def taken(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(path, name).lstat().st_size
    return total


@pytest.fixture
def hub_and_model(hub: HubServer, tmp_path: Path) -> tuple[HubServer, Model]:
    return hub, sharded(tmp_path / "here", hub, width=512)


def started(hub: HubServer, place: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.unit.engine.fetching.slowly", "quantize", ID, "-o", str(place / "out")]
    options = ["--group-size", "64", "--device", "cpu", "--resume", *words]
    known = environment(hub.url, place) | {"QTQUANT_CACHE": str(place / "known"), "XDG_CONFIG_HOME": str(place)}
    return subprocess.Popen([*command, *options], cwd=ROOT, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def weights_sent(hub: HubServer) -> int:
    with hub.lock:
        return sum(count for name, count in hub.sent.items() if name.endswith(".safetensors"))


def test_a_run_that_is_killed_three_times_ends_as_the_local_one(
    hub_and_model: tuple[HubServer, Model], tmp_path: Path
) -> None:
    hub, model = hub_and_model
    quantized(model.folder, tmp_path / "local")
    place = tmp_path / "run"
    place.mkdir()
    hub.faults = [Fault("/stored/", stall=0.01, times=-1)]
    peak = Peak(place)
    peak.start()
    for share in KILLS:
        process = started(hub, place)
        while weights_sent(hub) < share * SHARDS * model.size:
            assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (place / "out").exists() and (place / "out.partial").is_dir()
    process = started(hub, place)
    said, _ = process.communicate(timeout=120)
    peak.over.set()
    peak.join()
    assert process.returncode == 0, said.decode()
    assert contents(place / "out") == contents(tmp_path / "local")
    assert most_sent(hub) <= 2
    assert weights_sent(hub) < 1.2 * SHARDS * model.size  # what was on its way at a kill, and no shard anew
    output = taken(place / "out")
    assert peak.bytes - output < 2 * model.size


def most_sent(hub: HubServer) -> int:
    """How often the byte of a weight file was sent that was sent most often."""
    most = 0
    for file in {name for name, _, _ in hub.spans if name.endswith(".safetensors")}:
        edges = Counter[int]()
        for name, start, stop in hub.spans:
            if name == file:
                edges[start] += 1
                edges[stop] -= 1
        depth = 0
        for at in sorted(edges):
            depth += edges[at]
            most = max(most, depth)
    return most
