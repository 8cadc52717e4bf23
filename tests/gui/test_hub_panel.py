"""The Hub on the Source page: what is found, what there is to know of a model, and opening one by its headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import SourceError
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.hub_notice import HubNotice, terms_of
from qtquant_app.gui.widgets.markdown_view import MarkdownView
from tests.gui.conftest import MakeWindow
from tests.gui.hub_window import BASE, CARD, GATED, SMALL_ONE, chosen, shown_hub, window_hub
from tests.hub.exchange import Fault
from tests.hub.server import HubServer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with window_hub(monkeypatch, tmp_path) as server:
        yield server


@pytest.fixture
def window(hub: HubServer, make_window: MakeWindow) -> MainWindow:
    return make_window(Verbs())


def test_nobody_is_asked_before_the_hub_is_looked_at(qtbot: QtBot, window: MainWindow, hub: HubServer) -> None:
    qtbot.wait(100)
    assert hub.asked == []
    panel = shown_hub(qtbot, window)
    assert [panel.models.index(row, 0).data() for row in range(3)] == [BASE, GATED, SMALL_ONE]
    licences = [panel.models.index(row, 3).data() for row in range(3)]
    assert licences == ["mit", "unknown", "unknown"]
    assert panel.models.index(1, 5).data() == "ask"


def test_words_and_filters_are_the_hubs_own(qtbot: QtBot, window: MainWindow, hub: HubServer) -> None:
    panel = shown_hub(qtbot, window)
    filters = panel.filters
    filters.licence.setCurrentIndex(filters.licence.findData("mit"))
    panel.line.setText("base")
    qtbot.keyClick(panel.line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.found.text() == "1 model", timeout=10_000)
    assert panel.models.index(0, 0).data() == BASE
    filters.access.setCurrentIndex(2)
    qtbot.waitUntil(lambda: panel.found.text() == "0 models", timeout=10_000)
    filters.order.setCurrentIndex(filters.order.findData("likes"))
    filters.parameters.setCurrentIndex(2)
    query = filters.query(" base ")
    assert (query.words, query.least, query.most, query.sort) == ("base", "1B", "4B", "likes")
    assert (query.licence, query.gated) == ("mit", True)


def test_a_models_page_shows_card_files_and_revisions(qtbot: QtBot, window: MainWindow, hub: HubServer) -> None:
    panel = shown_hub(qtbot, window)
    chosen(qtbot, panel, BASE)
    view = panel.view
    assert "Read me." in view.card.toPlainText() and "license:" not in view.card.toPlainText()
    names = {view.files.row(at).name: view.files.row(at).bytes for at in range(view.files.rowCount())}
    assert names["README.md"] == len(CARD) and "model-00001-of-00002.safetensors" in names
    assert [view.revision.itemText(at) for at in range(view.revision.count())] == ["main", "other"]
    view.revision.setCurrentIndex(1)
    view.revision.activated.emit(1)
    qtbot.waitUntil(lambda: view.files.rowCount() == len(names) + 1, timeout=10_000)
    assert view.place == f"{BASE}@other"


@pytest.mark.parametrize("start", [BASE, SMALL_ONE])
def test_what_others_have_quantized_of_the_same_base_is_listed(qtbot: QtBot, window: MainWindow, start: str) -> None:
    panel = shown_hub(qtbot, window)
    chosen(qtbot, panel, start)
    panel.view.tabs.setCurrentWidget(panel.view.quantized_table)
    qtbot.waitUntil(lambda: panel.view.quantized.rowCount() == 1, timeout=10_000)
    row = [panel.view.quantized.index(0, at).data() for at in range(3)]
    assert row == [SMALL_ONE, "awq", "1.23 kB"]


def test_opening_reads_headers_alone_and_says_how_much(qtbot: QtBot, window: MainWindow, hub: HubServer) -> None:
    panel = shown_hub(qtbot, window)
    chosen(qtbot, panel, BASE)
    qtbot.mouseClick(panel.view.open_button, Qt.MouseButton.LeftButton)
    card = window.source_page.summary_card
    qtbot.waitUntil(card.isVisible, timeout=20_000)
    assert window.session.checkpoint is not None and window.session.checkpoint.remote is not None
    assert "is on this computer" in card.note.text() and card.note.isVisible()
    weights = sum(sent for name, sent in hub.sent.items() if name.endswith(".safetensors"))
    assert 0 < weights < 10_000
    qtbot.waitUntil(lambda: window.source_page.recent_model.stringList() == [BASE])


def test_a_gated_model_is_refused_with_the_link_to_its_terms(
    qtbot: QtBot, window: MainWindow, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    panel = shown_hub(qtbot, window)
    window.session.open(GATED)
    qtbot.waitUntil(lambda: panel.notice.error is not None, timeout=20_000)
    window.source_page.tabs.setCurrentWidget(panel)
    assert "gated" in panel.notice.text() and "hf auth" not in panel.notice.text()
    assert opened == [], "only a press opens it"
    qtbot.mouseClick(panel.notice.link_button, Qt.MouseButton.LeftButton)
    assert opened == [f"{hub.url}/{GATED}"]


def test_only_a_refusal_that_has_terms_has_a_link(qtbot: QtBot) -> None:
    notice = HubNotice("notice")
    qtbot.addWidget(notice)
    notice.show_error(SourceError("x", hint="ask on huggingface.co/org/model-1.5 first", code="hub-gated"))
    assert notice.address == "https://huggingface.co/org/model-1.5"
    for hint in ("ask on file:///etc/passwd", "javascript:alert/1", "nowhere"):
        assert terms_of(SourceError("x", hint=hint, code="hub-gated")) == ""
    notice.show_error(SourceError("x", hint="see huggingface.co/a/b", code="hub-token"))
    assert notice.address == "" and not notice.link_button.isVisibleTo(notice)


@pytest.mark.parametrize("how", ["switched off", "nobody answers"])
def test_offline_is_said_at_once_and_the_rest_works(
    qtbot: QtBot, window: MainWindow, hub: HubServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "switched off":
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    panel = shown_hub(qtbot, window)
    assert ("HF_HUB_OFFLINE" in panel.notice.text()) == (how == "switched off")
    assert "Downloaded" in panel.notice.text()
    window.session.open("sample")
    qtbot.waitUntil(lambda: window.session.plan is not None, timeout=20_000)


def test_a_hub_that_answers_nothing_leaves_every_control_usable(
    qtbot: QtBot, window: MainWindow, hub: HubServer
) -> None:
    hub.faults.append(Fault("models", times=-1, stall=30.0))
    window.go(Step.SOURCE)
    panel = window.source_page.hub_panel
    window.source_page.tabs.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: bool(hub.asked), timeout=10_000)
    assert panel.search_button.text() == "Stop" and panel.search_button.isEnabled()
    qtbot.mouseClick(panel.search_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.search_button.text() == "Search", timeout=1_000)
    window.session.open(BASE)
    window.session.open("sample")
    qtbot.waitUntil(lambda: window.session.plan is not None, timeout=10_000)
    assert window.session.checkpoint is not None and window.session.checkpoint.remote is None


def test_the_newest_search_wins_over_one_that_stalls(qtbot: QtBot, window: MainWindow, hub: HubServer) -> None:
    panel = shown_hub(qtbot, window)
    hub.faults.append(Fault("/api/models$", times=1, stall=30.0))
    panel.line.setText("nothing of that name")
    panel.search()
    qtbot.waitUntil(lambda: not hub.faults[-1].times, timeout=5_000)
    panel.line.setText("gated")
    panel.search()
    qtbot.waitUntil(lambda: panel.found.text() == "1 model", timeout=5_000)


def test_what_is_downloaded_opens_without_a_network(
    qtbot: QtBot, window: MainWindow, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(BASE)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    panel = window.source_page.downloaded_panel
    window.source_page.tabs.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: panel.models.rowCount() == 1, timeout=40_000)
    assert panel.models.index(0, 0).data() == BASE and not panel.open_button.isEnabled()
    panel.table.selectRow(0)
    qtbot.mouseClick(panel.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(window.source_page.summary_card.isVisible, timeout=20_000)
    assert window.session.checkpoint is not None and window.session.checkpoint.remote is None


def test_a_card_loads_nothing_runs_nothing_and_opens_only_web_pages(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    (tmp_path / "secret.txt").write_text("secret")
    view = MarkdownView("card", "A card")
    qtbot.addWidget(view)
    view.resize(400, 300)
    view.show()
    picture = f"![a]({hub.url}/p.png) ![b]({tmp_path}/secret.txt)"
    view.show_text(f"<script>x</script><img src='{hub.url}/q.png'>\n\n{picture} " + "w" * 100_000)
    qtbot.wait(50)
    assert hub.asked == [] and "secret" not in view.toPlainText().replace("secret.txt", "")
    assert "<script>x</script>" in view.toPlainText() and view.is_cut
    from PySide6.QtCore import QUrl

    for address in (f"file://{tmp_path}/secret.txt", "javascript:alert(1)", "https://example.org/a", "README.md"):
        view.anchorClicked.emit(QUrl(address))
    assert opened == ["https://example.org/a"]
    assert view.source().isEmpty(), "it never leaves the card"
