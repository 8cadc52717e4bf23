"""Recipes of results on the Hub: the Hub's own client against a server on the loopback address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from qtquant_app.core.errors import SourceError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.hub import HubId, fetch, hub_id
from qtquant_app.engine.recipes import read_recipe
from tests.hub_server import HubServer, serving

RECIPE = Recipe(Scheme(bits=3), (Rule("*.mlp.down_proj", "keep"),))
OTHER = Recipe(Scheme(bits=8))
TOKEN = "hf_made_up_for_a_test_only"


def record(recipe: Recipe) -> dict[str, bytes]:
    return {"qtquant.json": json.dumps({"recipe": recipe.to_json(), "files": {}}).encode()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with one result on two branches; its client asks nobody else, and keeps what it gets in a folder of the test."""
    with serving() as server:
        point_at(server.url, monkeypatch)
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.chdir(tmp_path)
        server.add("org/model-3.1-w4", record(RECIPE))
        server.add("org/model-3.1-w4", record(OTHER), "eight")
        yield server


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `url` the Hub of this process, as HF_ENDPOINT does for a new one."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def refused(text: str) -> SourceError:
    with pytest.raises(SourceError) as found:
        read_recipe(text)
    assert "\n" not in found.value.message and found.value.hint and found.value.exit_status == 2
    assert "http" not in found.value.message + found.value.hint
    return found.value


@pytest.mark.usefixtures("hub")
def test_a_result_on_the_hub_gives_its_recipe_from_any_revision() -> None:
    assert read_recipe("org/model-3.1-w4") == RECIPE
    assert read_recipe("org/model-3.1-w4@main") == RECIPE
    assert read_recipe("org/model-3.1-w4@eight") == OTHER


def test_what_has_changed_on_the_hub_is_fetched_again_and_nothing_else(hub: HubServer) -> None:
    read_recipe("org/model-3.1-w4")
    hub.asked.clear()
    assert read_recipe("org/model-3.1-w4") == RECIPE
    assert [method for method, _ in hub.asked] == ["HEAD"]
    hub.add("org/model-3.1-w4", record(OTHER))
    assert read_recipe("org/model-3.1-w4") == OTHER


@pytest.mark.usefixtures("hub")
def test_without_a_network_the_cache_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    read_recipe("org/model-3.1-w4")
    with serving() as gone:
        point_at(gone.url, monkeypatch)
    assert read_recipe("org/model-3.1-w4") == RECIPE
    error = refused("org/model-3.1-w4@eight")
    assert error.code == "hub-offline" and "qtquant.json of org/model-3.1-w4@eight is not in the local" in error.message


@pytest.mark.usefixtures("hub")
def test_where_the_hub_is_switched_off_the_error_says_by_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    error = refused("org/model-3.1-w4")
    assert error.code == "hub-offline" and "HF_HUB_OFFLINE" in error.message


def test_what_is_not_there_is_refused_by_name(hub: HubServer) -> None:
    hub.add("org/plain", {"config.json": b"{}"})
    assert refused("org/none").message == "there is no repository org/none on the Hub"
    assert refused("org/model-3.1-w4@nine").message == "org/model-3.1-w4 has no revision 'nine'"
    assert refused("org/plain").message == "org/plain holds no qtquant.json"
    assert refused("org/na--me").code == "hub-name"


def test_a_gated_repository_says_how_to_get_in_and_a_token_gets_in(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated = hub.add("org/gated", record(RECIPE))
    gated.token, gated.gated = TOKEN, True
    error = refused("org/gated")
    assert error.code == "hub-gated" and "hf auth login" in error.hint
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert TOKEN not in str(refused("org/gated")) and "hf_wrong" not in str(refused("org/gated"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert read_recipe("org/gated") == RECIPE
    assert f"Bearer {TOKEN}" in hub.tokens


def test_a_repository_that_asks_for_a_token_is_refused_without_one(hub: HubServer) -> None:
    hub.add("org/private", record(RECIPE)).token = TOKEN
    assert refused("org/private").code == "hub-not-found"


def test_a_hub_that_refuses_is_told_by_its_answer(hub: HubServer) -> None:
    hub.status = 418
    assert refused("org/model-3.1-w4").code in ("hub-refused", "hub-offline")


def test_a_record_that_is_none_is_refused(hub: HubServer) -> None:
    hub.add("org/spoilt", {"qtquant.json": b"{"})
    with pytest.raises(Exception, match=r"qtquant\.json: the recipe is not JSON"):
        read_recipe("org/spoilt")


def test_a_cache_that_cannot_be_written_is_told(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    error = refused("org/model-3.1-w4")
    assert error.code == "hub-cache" and "HF_HOME" in error.hint
    assert hub.asked


def test_a_path_is_a_path_whatever_it_looks_like(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "org" / "model-3.1-w4"
    folder.mkdir(parents=True)
    (folder / "qtquant.json").write_bytes(record(OTHER)["qtquant.json"])
    assert read_recipe("org/model-3.1-w4") == OTHER and not hub.asked


@pytest.mark.parametrize("text", ["name", "a/b/c", "./a", "/a/b", "../a", "a/..", "org/name@", "C:/x", "a b/c", ""])
def test_what_is_no_hub_id_is_none(text: str) -> None:
    assert hub_id(text) is None


def test_a_hub_id_is_taken_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_id("org/na.me-4_b@v1.0") == HubId("org/na.me-4_b", "v1.0")
    assert hub_id("org/name") == HubId("org/name") and HubId("org/name").label == "org/name"
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").write_text("")
    assert hub_id("org/name") is None


def test_fetching_shows_no_bar(hub: HubServer, capfd: pytest.CaptureFixture[str]) -> None:
    hub.add("org/long", {"qtquant.json": b" " * 3_000_000})
    assert fetch(HubId("org/long"), "qtquant.json").stat().st_size == 3_000_000
    assert capfd.readouterr() == ("", "")


def test_the_command_line_plans_with_a_recipe_of_the_hub(hub: HubServer, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    words = ["plan", "sample", "--recipe", "org/model-3.1-w4@eight", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "qtquant_app", *words], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"] == OTHER.to_json()
    assert TOKEN not in done.stdout + done.stderr
