"""A tensor that is on the Hub: what it costs is said first, small ones come by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qtquant_app.core.quantities import bytes_text
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui import fetcher
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from tests.checkpoints import small_llama
from tests.gui.conftest import MakeWindow
from tests.gui.hub_window import BASE, window_hub
from tests.hub.exchange import Fault
from tests.hub.server import HubServer

LAYER = "model.layers.0.mlp.down_proj.weight"
NBYTES = 128 * 256 * 2


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with window_hub(monkeypatch, tmp_path) as server:
        yield server


@pytest.fixture
def window(qtbot: QtBot, hub: HubServer, make_window: MakeWindow) -> MainWindow:
    made = make_window(Verbs())
    made.session.open(BASE)
    qtbot.waitUntil(lambda: made.session.plan is not None, timeout=40_000)
    made.go(Step.INSPECT)
    return made


def fetched(hub: HubServer) -> int:
    return sum(sent for name, sent in hub.sent.items() if name.endswith(".safetensors"))


def test_a_small_tensor_is_fetched_by_itself_and_no_more_than_it(
    qtbot: QtBot, window: MainWindow, hub: HubServer
) -> None:
    before = fetched(hub)
    window.session.select(LAYER)
    qtbot.waitUntil(lambda: window.inspect_page.inspection.preview is not None, timeout=60_000)
    assert 0 < fetched(hub) - before <= NBYTES


def test_a_scan_of_the_whole_says_its_cost_before_it_is_asked_for(window: MainWindow, hub: HubServer) -> None:
    before, glance, checkpoint = fetched(hub), window.inspect_page.glance, window.session.checkpoint
    assert checkpoint is not None
    cost = bytes_text(checkpoint.stored_bytes)
    assert glance.bar.scan_button.text() == f"&Scan the model, fetching up to {cost}"
    assert glance.start_button.text().endswith(cost)
    assert glance.start_button.accessibleName().endswith(cost)
    assert fetched(hub) == before


def test_a_large_one_waits_for_a_press_and_says_its_cost(
    qtbot: QtBot, window: MainWindow, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "BY_ITSELF", 1000)
    before, picture = fetched(hub), window.inspect_page.picture
    window.session.select(LAYER)
    qtbot.waitUntil(picture.fetch_button.isVisible, timeout=10_000)
    assert picture.fetch_button.text() == "Fetch 65.5 kB to look at it" and fetched(hub) == before
    qtbot.mouseClick(picture.fetch_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.inspect_page.inspection.preview is not None, timeout=60_000)
    assert fetched(hub) - before <= NBYTES and not picture.fetch_button.isVisible()
    window.session.select("model.norm.weight")
    window.session.select(LAYER)
    qtbot.waitUntil(lambda: window.inspect_page.inspection.preview is not None, timeout=20_000)
    assert fetched(hub) - before <= NBYTES + 128, "it is here now"


def test_a_fetch_that_stalls_is_left_at_once_for_another_tensor(
    qtbot: QtBot, window: MainWindow, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "BY_ITSELF", 1000)
    picture = window.inspect_page.picture
    window.session.select(LAYER)
    qtbot.waitUntil(picture.fetch_button.isVisible, timeout=10_000)
    hub.faults.append(Fault(method="GET", times=1, stall=30.0))
    qtbot.mouseClick(picture.fetch_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not hub.faults[-1].times, timeout=10_000)
    assert picture.fetching and picture.fetch_button.text() == "Stop"
    qtbot.mouseClick(picture.fetch_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: picture.fetch_button.text().startswith("Fetch"), timeout=1_000)
    other = LAYER.replace("down_proj", "up_proj")
    monkeypatch.setattr(fetcher, "BY_ITSELF", 1 << 20)
    window.session.select(other)
    qtbot.waitUntil(lambda: window.inspect_page.inspection.preview is not None, timeout=60_000)
    assert window.inspect_page.picture.title.full_text() == other


def test_a_refusal_stands_where_the_picture_would(qtbot: QtBot, window: MainWindow, hub: HubServer) -> None:
    hub.status = 403
    window.session.select(LAYER)
    picture = window.inspect_page.picture
    qtbot.waitUntil(lambda: "403" in picture.empty.sentence.text(), timeout=20_000)
    assert not picture.fetch_button.isVisible()


def test_a_run_of_it_says_what_it_fetches_and_does_so_as_is_chosen(
    qtbot: QtBot, hub: HubServer, make_window: MakeWindow, tmp_path: Path
) -> None:
    folder = small_llama(tmp_path / "small", shards=2)
    hub.add("org/small", {path.name: path.read_bytes() for path in folder.iterdir()})
    made = make_window(Verbs())
    session, page = made.session, made.run_page
    session.open("org/small")
    qtbot.waitUntil(lambda: session.checkpoint is not None, timeout=40_000)
    session.set_recipe(Recipe(default=Scheme(4, group_size=32)))
    qtbot.waitUntil(lambda: session.plan is not None, timeout=40_000)
    made.go(Step.RUN)
    assert page.shards_choice.isVisible() and page.shards_choice.value == "drop"
    assert session.plan is not None and session.plan.download_bytes > 0
    page.output_field.set_path(str(tmp_path / "out"))
    qtbot.waitUntil(page.start_button.isEnabled, timeout=20_000)
    page.start()
    qtbot.waitUntil(lambda: (tmp_path / "out" / "qtquant.json").exists(), timeout=60_000)
    qtbot.waitUntil(lambda: not session.runner.state.active, timeout=20_000)
    assert not (tmp_path / "out.partial").exists()


def test_the_choice_is_not_there_for_a_model_that_is_here(qtbot: QtBot, make_window: MakeWindow) -> None:
    made = make_window(Verbs())
    made.session.open("sample")
    qtbot.waitUntil(lambda: made.session.plan is not None, timeout=40_000)
    made.go(Step.RUN)
    assert not made.run_page.shards_choice.isVisible()
