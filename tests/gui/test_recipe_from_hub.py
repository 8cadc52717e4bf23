"""The recipe of a result on the Hub, and that of a result on the Publish page: shown as a difference, then taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.saved import Saved
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step
from tests.gui.conftest import MakeWindow
from tests.gui.scripted import Script
from tests.hub_server import HubServer, serving

RECIPE = Recipe(Scheme(bits=3), (Rule("*.mlp.down_proj", "keep"),))
RECORD = json.dumps({"recipe": RECIPE.to_json()}).encode()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with serving() as server:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        server.add("org/model-w3", {"qtquant.json": RECORD})
        yield server


@pytest.fixture
def page(qtbot: QtBot, settings: Settings) -> RecipePage:
    made = RecipePage(Session(Script()), settings)
    qtbot.addWidget(made)
    made.resize(1100, 640)
    made.show()
    return made


@pytest.mark.usefixtures("hub")
def test_the_recipe_of_a_repository_is_offered_and_the_command_names_it(qtbot: QtBot, page: RecipePage) -> None:
    field = page.hub_field
    page.result_button.menu().actions()[1].trigger()
    assert field.isVisible() and not field.fetch_button.isEnabled()
    qtbot.keyClicks(field.edit, "org/model-w3")
    qtbot.keyClick(field.edit, Qt.Key.Key_Return)
    assert not field.fetch_button.isEnabled() and "fetched" in field.state.text()
    qtbot.waitUntil(page.offer.isVisible)
    assert "org/model-w3" in page.offer.title.text() and not field.isVisible()
    page.offer.take_button.click()
    assert page._session.recipe == RECIPE
    assert page.command.code.toPlainText().endswith("--recipe org/model-w3")


@pytest.mark.usefixtures("hub")
def test_a_name_that_is_nowhere_is_told_and_can_be_mended(qtbot: QtBot, page: RecipePage) -> None:
    page.ask_hub()
    page.hub_field.edit.setText("org/nothing")
    page.hub_field.fetch_button.click()
    qtbot.waitUntil(page.error_panel.isVisible)
    assert "There is no repository org/nothing on the Hub" in page.error_panel.text()
    assert page.hub_field.isVisible() and page.hub_field.fetch_button.isEnabled()
    page.hub_field.edit.setText("org/model-w3")
    page.hub_field.fetch_button.click()
    qtbot.waitUntil(page.offer.isVisible)
    assert not page.error_panel.isVisible()


def test_escape_leaves_the_recipe_as_it_is(qtbot: QtBot, page: RecipePage, hub: HubServer) -> None:
    page.ask_hub()
    page.hub_field.edit.setText("org/model-w3")
    page.hub_field.fetch_button.click()
    qtbot.keyClick(page.hub_field.edit, Qt.Key.Key_Escape)
    assert not page.hub_field.isVisible()
    qtbot.wait(200)
    assert not page.offer.isVisible() and page._session.recipe == Recipe() and len(hub.asked) <= 2


def test_the_recipe_of_the_result_shown_goes_to_the_recipe_page_as_an_offer(
    qtbot: QtBot, make_window: MakeWindow, tmp_path: Path
) -> None:
    window: MainWindow = make_window(Script())
    (tmp_path / "qtquant.json").write_bytes(RECORD)
    window.publish_page.show_saved(
        Saved(str(tmp_path), "compressed-tensors", 1, 4.0, 1, 0, None, "full", True, (), None)
    )
    window.go(Step.PUBLISH)
    qtbot.mouseClick(window.publish_page.recipe_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(window.recipe_page.offer.isVisible)
    assert window.step is Step.RECIPE and window.recipe_page.offer.recipe == RECIPE
    assert window.session.recipe != RECIPE
