"""The Source page: ways to open, and what it says of what is open."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import SourceError
from qtquant_app.gui.pages.source import SourcePage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.summary import summarize
from tests.gui.inspect_samples import checkpoint
from tests.gui.scripted import Script


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def page(qtbot: QtBot, verbs: Script, settings: Settings) -> SourcePage:
    made = SourcePage(Session(verbs), settings)
    qtbot.addWidget(made)
    made.resize(1000, 640)
    made.show()
    return made


def summarized(qtbot: QtBot, page: SourcePage) -> None:
    qtbot.waitUntil(lambda: page.summary_card.isVisible())


def test_the_sample_button_opens_the_sample(qtbot: QtBot, page: SourcePage, verbs: Script) -> None:
    qtbot.mouseClick(page.sample_button, Qt.MouseButton.LeftButton)
    summarized(qtbot, page)
    assert verbs.opened == ["sample"]


def test_a_chosen_folder_is_opened_and_a_dialog_closed_opens_nothing(
    qtbot: QtBot, page: SourcePage, verbs: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["", "/models/one"])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(answers))
    page.open_folder_button.click()
    page.open_folder_button.click()
    summarized(qtbot, page)
    assert verbs.opened == ["/models/one"]


def test_a_chosen_file_is_opened(
    qtbot: QtBot, page: SourcePage, verbs: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/models/w.safetensors", ""))
    page.open_file_button.click()
    summarized(qtbot, page)
    assert verbs.opened == ["/models/w.safetensors"]


def test_the_card_says_what_is_in_the_checkpoint(qtbot: QtBot, page: SourcePage) -> None:
    page.open_sample()
    summarized(qtbot, page)
    facts = page.summary_card.facts
    assert facts.text("Tensors") == "99"
    assert facts.text("Weight files") == "1 safetensors file"
    assert facts.text("Data types") == "BF16 100.0 %"
    kinds = page.summary_card.kinds
    assert [kinds.index(row, 0).data() for row in range(kinds.rowCount())] == ["linear", "embedding", "head", "norm"]


def test_what_is_opened_is_listed_as_recent_and_opens_again_from_there(
    qtbot: QtBot, page: SourcePage, verbs: Script, settings: Settings
) -> None:
    page.open_sample()
    summarized(qtbot, page)
    assert page.recent_model.stringList() == settings.recent() == ["made up"]
    page.recent_list.activated.emit(page.recent_model.index(0, 0))
    qtbot.waitUntil(lambda: verbs.opened == ["sample", "made up"])


def test_a_refusal_stands_on_the_page_with_its_hint(qtbot: QtBot, page: SourcePage, verbs: Script) -> None:
    verbs.open_error = SourceError("/x holds no weights", hint="open the model's folder")
    page.open_sample()
    qtbot.waitUntil(page.error_panel.isVisible)
    assert page.error_panel.text() == "/x holds no weights\nOpen the model's folder"
    assert not page.summary_card.isVisible()
    verbs.open_error = None
    page.open_sample()
    summarized(qtbot, page)
    assert not page.error_panel.isVisible()


def test_shared_tensors_count_once_in_bytes() -> None:
    one = TensorInfo("a.weight", "F32", (4, 4), "f", 0, 64, Kind.LINEAR)
    other = TensorInfo("b.weight", "F32", (4, 4), "f", 0, 64, Kind.HEAD, tied_to="a.weight")
    place = Path("/nowhere")
    found = summarize(Checkpoint(root=place, path=place, label="x", tensors=(one, other), weight_files=("f",)))
    assert (found.tensors, found.parameters, found.bytes) == (2, 16, 64)
    assert [(kind.kind, kind.tensors, kind.bytes) for kind in found.kinds] == [("linear", 1, 64), ("head", 1, 0)]
    assert found.architecture == "unknown"


def test_a_large_checkpoint_is_summarized_off_the_gui_thread(qtbot: QtBot, page: SourcePage) -> None:
    with qtbot.waitSignal(page._counter.busy_changed):
        page._session._take(checkpoint(500))
    summarized(qtbot, page)
