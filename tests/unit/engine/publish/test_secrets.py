"""The token is nowhere but in the requests to the Hub: in no output, log, state, journal, list of processes or exception."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.publication import Destination
from qtquant_app.core.trail import TRAIL
from qtquant_app.engine.publish.publish import publish
from tests.hub.client import environment
from tests.hub.exchange import Fault
from tests.hub.repos import Account
from tests.hub.server import HubServer
from tests.unit.engine.publish.results import REPO, TOKEN, driven

FAULTS = {
    "none": [],
    "cut": [Fault("/put/", cut=20_000)],
    "busy": [Fault("/put/", times=2, status=503)],
    "expired": [Fault("batch", times=9, status=401)],
    "forbidden": [Fault("preupload", times=9, status=403)],
    "broken": [Fault("commit", times=9, status=400)],
}


def kept_files(*folders: Path) -> dict[str, bytes]:
    """Everything that is in folders, by path; also what the files are called."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.parametrize("fault", ["busy", "expired"])
def test_the_command_line_leaves_no_token_anywhere(
    hub: HubServer, output: Path, tmp_path: Path, own_cache: Path, own_config: Path, fault: str
) -> None:
    hub.faults += [Fault(**vars(one)) for one in FAULTS[fault]]
    words = [sys.executable, "-m", "qtquant_app", "upload", str(output), REPO, "--debug"]
    variables = environment(hub.url, tmp_path) | {"HF_TOKEN": TOKEN, "HF_DEBUG": ""}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == (1 if fault == "expired" else 0), done.stderr
    assert ("Traceback" in done.stderr) == (fault == "expired")
    files = kept_files(own_cache, own_config, tmp_path)
    assert any("uploads" in path for path in files) == (fault == "expired") and any("logs" in path for path in files)
    for text in (done.stdout, done.stderr, *files, *(data.decode(errors="replace") for data in files.values())):
        assert TOKEN not in text
    assert f"Bearer {TOKEN}" in hub.tokens, "it was used"
    assert "/put/" not in done.stderr.replace(str(output), ""), "addresses of stored files are as secret"


@pytest.mark.parametrize("fault", list(FAULTS))
def test_no_exception_and_no_log_holds_the_token(
    hub: HubServer, output: Path, fault: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.faults += [Fault(**vars(one)) for one in FAULTS[fault]]
    caplog.set_level(logging.INFO)
    text = ""
    try:
        driven(publish(output, Destination(REPO)))
    except QtQuantError as error:
        text = "".join(traceback.format_exception(error)) + repr(pickle.dumps(error)) + repr(vars(error))
        assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    assert bool(text) == (fault in ("expired", "forbidden", "broken"))
    captured = capfd.readouterr()
    for said in (text, caplog.text, captured.out, captured.err, *TRAIL.lines()):
        assert TOKEN not in said
    assert captured.out == captured.err == "", "the client's own words stay off the terminal"


def test_a_token_of_the_hubs_own_store_is_used_and_left_there(
    hub: HubServer, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text("hf_of_the_store_0123456789")
    hub.accounts["hf_of_the_store_0123456789"] = Account("someone")
    driven(publish(output, Destination(REPO)))
    assert "Bearer hf_of_the_store_0123456789" in hub.tokens
    assert not any("hf_of_the_store" in part for part in os.environ.values())
