"""Who is signed in; and no token anywhere but in the client's own store."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from qtquant_app.core.crash_report import crash_report
from qtquant_app.core.errors import QtQuantError, SourceError
from qtquant_app.core.hub import HubAccount
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.hub.access import sign_in, sign_out, who
from qtquant_app.engine.hub.browser import Asked, Unanswered, sign_in_by_browser
from qtquant_app.engine.hub.names import HubId
from qtquant_app.engine.hub.page import page
from qtquant_app.engine.hub.search import Search, search
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import finish, quantize
from tests.hub.exchange import Fault
from tests.hub.repos import Account
from tests.hub.server import HubServer

TOKEN = "hf_TOKENmadeupforatestonly"
OLD = "hf_OLDmadeupforatestonly"


@pytest.fixture
def accounts(hub: HubServer) -> HubServer:
    hub.accounts = {TOKEN: Account("ada", ("engines",), "fineGrained"), OLD: Account("ada", left=0)}
    return hub


def test_nobody_is_signed_in_where_there_is_no_token(accounts: HubServer) -> None:
    assert who() is None and not accounts.asked


def test_a_token_is_tested_before_it_is_stored_and_is_found_again(accounts: HubServer, tmp_path: Path) -> None:
    assert sign_in(f" {TOKEN}\n") == HubAccount("ada", ("engines",), "fineGrained")
    assert who() == HubAccount("ada", ("engines",), "fineGrained")
    assert (tmp_path / "token").read_text() == TOKEN
    assert sign_out() and who() is None and not (tmp_path / "token").exists()


@pytest.mark.parametrize("token", [OLD, "hf_never", "", "two words", "h\u00e4"])
def test_a_token_that_is_no_good_is_refused_and_not_stored(accounts: HubServer, tmp_path: Path, token: str) -> None:
    with pytest.raises(SourceError) as found:
        sign_in(token)
    assert found.value.code == "hub-token" and found.value.hint
    assert not token or token not in found.value.message + found.value.hint
    assert not (tmp_path / "token").exists()


@pytest.mark.usefixtures("accounts")
def test_a_token_of_the_environment_comes_first_and_is_said_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    account = who()
    assert account is not None and account.from_environment
    with pytest.raises(SourceError, match="HF_TOKEN is set") as found:
        sign_in(TOKEN)
    assert found.value.code == "hub-environment" and not (tmp_path / "token").exists()
    assert not sign_out()
    monkeypatch.setenv("HF_TOKEN", OLD)
    with pytest.raises(SourceError, match="expired") as found:
        who()
    assert found.value.code == "hub-token" and "HF_TOKEN" in found.value.hint


def test_a_hub_that_cannot_be_reached_is_not_taken_for_a_bad_token(
    accounts: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError) as found:
        sign_in(TOKEN)
    assert found.value.code == "hub-offline" and not (tmp_path / "token").exists()


PENDING = {"error": "authorization_pending"}


def test_a_browser_signs_in_once_somebody_says_yes(accounts: HubServer, tmp_path: Path) -> None:
    accounts.answers = [PENDING, PENDING, {"access_token": TOKEN, "expires_in": 10**6, "refresh_token": "r"}]
    events, account = finish(sign_in_by_browser())  # type: ignore[arg-type]
    asked, *waits = events
    assert isinstance(asked, Asked) and asked.code == "AB-CD" and asked.address == f"{accounts.url}/device"
    assert waits and all(isinstance(event, Unanswered) for event in waits)
    assert account == who() == HubAccount("ada", ("engines",), "fineGrained")
    assert (tmp_path / "token").read_text() == TOKEN


@pytest.mark.parametrize("answer", ["access_denied", "expired_token"])
def test_a_browser_that_says_no_signs_nobody_in(accounts: HubServer, tmp_path: Path, answer: str) -> None:
    accounts.answers = [PENDING, {"error": answer}]
    with pytest.raises(SourceError) as found:
        finish(sign_in_by_browser())  # type: ignore[arg-type]
    assert found.value.code == "hub-denied" and not (tmp_path / "token").exists()


def test_waiting_for_a_browser_ends_at_once_when_nobody_waits_any_more(accounts: HubServer) -> None:
    waiting = sign_in_by_browser()
    assert isinstance(next(waiting), Asked) and isinstance(next(waiting), Unanswered)
    asked = len(accounts.asked)
    waiting.close()
    assert len(accounts.asked) == asked


def test_a_browser_cannot_be_asked_without_a_network(accounts: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError) as found:
        next(sign_in_by_browser())
    assert found.value.code == "hub-offline" and not accounts.asked


def everything_told(work: Callable[[], object], caplog: pytest.LogCaptureFixture) -> str:
    """All that anybody could read after `work`: the log of every library, the error with its trace, and its report."""
    caplog.clear()
    said = []
    try:
        work()
    except QtQuantError as error:
        said = [traceback.format_exc(), repr(error), error.message, error.hint, crash_report("it", error)]
    return "\n".join([*said, caplog.text])


def test_no_token_is_in_any_error_log_report_or_result(
    accounts: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = small_llama(tmp_path / "m", shards=2)
    for name in ("org/private", "org/gated"):
        accounts.add(name, {path.name: path.read_bytes() for path in folder.iterdir()})
    accounts.repos["org/private"].private = True
    accounts.repos["org/gated"].gated = "manual"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    told = everything_told(lambda: quantize("org/private", tmp_path / "out", Scheme(group_size=32)), caplog)
    told += everything_told(lambda: make_plan(open_checkpoint("org/private"), Recipe()), caplog)
    told += everything_told(lambda: open_checkpoint("org/gated"), caplog)
    told += everything_told(lambda: page(HubId("org/none")), caplog)
    for status in (400, 401, 403, 404, 418, 500):
        accounts.faults = [Fault("", status=status, headers={"Retry-After": "0"}, times=9)]
        told += everything_told(lambda: search(Search()), caplog) + everything_told(who, caplog)
    accounts.faults = []
    monkeypatch.setenv("HF_TOKEN", OLD)
    told += everything_told(lambda: open_checkpoint("org/private"), caplog) + everything_told(who, caplog)
    monkeypatch.delenv("HF_TOKEN")
    told += everything_told(lambda: sign_in(OLD), caplog) + everything_told(lambda: sign_in(TOKEN), caplog)
    assert any(TOKEN in token for token in accounts.tokens) and any(OLD in token for token in accounts.tokens)
    assert "org/gated" in told and TOKEN not in told and OLD not in told
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("token", "stored_tokens")]
    assert (tmp_path / "out" / "qtquant.json") in kept
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_nothing_in_the_cache_of_ranges_names_a_token(
    accounts: HubServer, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_llama(tmp_path / "m")
    accounts.add("org/private", {path.name: path.read_bytes() for path in folder.iterdir()}).private = True
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    open_checkpoint("org/private")
    kept = [path for path in own_cache.rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if TOKEN.encode() in path.read_bytes() or TOKEN in str(path)]
