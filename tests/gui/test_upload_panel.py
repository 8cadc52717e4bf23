"""Publishing from the window: only what is proven goes, to where it is told, with the card as it was edited."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from qtquant_app.engine.publish import waiting
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.card_editor import readable
from qtquant_app.gui.widgets.upload_form import UploadForm
from qtquant_app.gui.widgets.upload_panel import UploadPanel
from tests.gui.conftest import MakeWindow
from tests.gui.hub_window import TOKEN, window_hub
from tests.hub.exchange import Fault
from tests.hub.repos import Account
from tests.hub.server import HubServer
from tests.unit.engine.publish.results import result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result, made once; not to be changed."""
    folder = tmp_path_factory.mktemp("result")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTQUANT_CACHE", str(folder / "cache"))
        return result(folder)[1]


@pytest.fixture
def output(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "small-w4"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with window_hub(monkeypatch, tmp_path) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(waiting, "FIRST_WAIT", 0.01)
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)
        yield server


@pytest.fixture
def window(hub: HubServer, make_window: MakeWindow) -> MainWindow:
    return make_window(Verbs())


def shown(qtbot: QtBot, window: MainWindow, output: Path) -> UploadPanel:
    """The upload's tab for the result in `output`, its card there and the account known."""
    page = window.publish_page
    window.go(Step.PUBLISH)
    page.read(str(output))
    qtbot.waitUntil(page.proof_card.isVisible, timeout=20_000)
    page.tabs.setCurrentWidget(page.upload_panel)
    panel = page.upload_panel
    qtbot.waitUntil(lambda: panel.editor.ready and not window.session.account.busy, timeout=40_000)
    return panel


@pytest.fixture
def panel(qtbot: QtBot, window: MainWindow, output: Path) -> UploadPanel:
    return shown(qtbot, window, output)


def test_a_proven_result_is_published_where_it_was_told_with_the_card_as_edited(
    qtbot: QtBot, panel: UploadPanel, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    form = panel.form
    assert [form.owner.itemText(at) for at in range(form.owner.count())] == ["someone", "org"]
    assert form.name.text() == "small-w4" and panel.start_button.isEnabled()
    form.owner.setCurrentIndex(1)
    form.private.setChecked(True)
    panel.editor.edit.setPlainText(panel.editor._typed + "\nMy own words.\n")
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.uploader.state is RunState.DONE, timeout=60_000)
    repo = hub.repos["org/small-w4"]
    files = repo.revisions["main"]
    assert repo.private and any(name.endswith(".safetensors") for name in files) and "qtquant.json" in files
    assert b"My own words." in bytes(files["README.md"])  # type: ignore[arg-type]
    assert all(file.there for file in panel.uploader.files)
    assert panel.progress.words.text().startswith(f"\u2713 On the Hub: {hub.url}/org/small-w4")
    qtbot.mouseClick(panel.progress.link_button, Qt.MouseButton.LeftButton)
    assert opened == [f"{hub.url}/org/small-w4"]


def test_a_result_that_is_not_what_was_written_does_not_go(
    qtbot: QtBot, window: MainWindow, panel: UploadPanel, output: Path, hub: HubServer
) -> None:
    weights = next(output.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with qtbot.waitSignal(window.session.verifier.finished, timeout=20_000):
        window.publish_page.verify_again()
    assert not panel.start_button.isEnabled()
    assert "the files are not what was written" in panel.missing.text()
    panel.start()
    assert panel.uploader.state is RunState.IDLE and "someone/small-w4" not in hub.repos


def test_what_is_missing_is_said(
    qtbot: QtBot, window: MainWindow, hub: HubServer, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, panel = window.publish_page, window.publish_page.upload_panel
    assert "there is no result" in panel.missing.text()
    monkeypatch.delenv("HF_TOKEN")
    shown(qtbot, window, output)
    assert "nobody is signed in" in panel.missing.text() and not panel.start_button.isEnabled()
    hub.accounts[TOKEN] = Account("someone", role="read")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    window.session.account.look(again=True)
    qtbot.waitUntil(lambda: "may only read" in panel.missing.text(), timeout=10_000)
    hub.accounts[TOKEN] = Account("someone")
    window.session.account.look(again=True)
    qtbot.waitUntil(panel.start_button.isEnabled, timeout=10_000)
    panel.form.name.setText("a b")
    assert "letters, digits" in panel.missing.text() and not panel.start_button.isEnabled()
    record = output / "qtquant.json"
    record.write_text(record.read_text().replace('"verified": "full"', '"verified": "none"'))
    page.read(str(output))
    qtbot.waitUntil(lambda: "the run verified nothing" in panel.missing.text(), timeout=20_000)


def test_an_upload_that_was_stopped_is_listed_and_goes_on_without_sending_twice(
    qtbot: QtBot, panel: UploadPanel, window: MainWindow, hub: HubServer, output: Path
) -> None:
    assert not panel.begun.isVisible()
    hub.faults.append(Fault("/commit/", times=1, stall=30.0))
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not hub.faults[-1].times, timeout=60_000)
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    assert panel.uploader.state is RunState.PAUSED and panel.pause_button.text() == "Go on"
    qtbot.mouseClick(panel.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.uploader.state is RunState.CANCELLED, timeout=5_000)
    assert "qtquant.json" not in hub.repos["someone/small-w4"].revisions["main"]
    qtbot.waitUntil(panel.begun.isVisible, timeout=10_000)
    stored = sum(count for path, count in hub.received.items() if "/put/" in path)
    panel.unfinished_table.selectRow(0)
    panel.form.name.setText("other")
    qtbot.mouseClick(panel.resume_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.form.name.text() == "small-w4", timeout=20_000)
    qtbot.waitUntil(panel.start_button.isEnabled, timeout=40_000)
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.uploader.state is RunState.DONE, timeout=60_000)
    assert sum(count for path, count in hub.received.items() if "/put/" in path) == stored > 0
    qtbot.waitUntil(lambda: not panel.begun.isVisible(), timeout=10_000)


def test_a_refusal_stands_beside_the_button_and_another_try_is_free(
    qtbot: QtBot, panel: UploadPanel, hub: HubServer
) -> None:
    panel.form.name.setText("nobody/there")
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.uploader.state is RunState.FAILED, timeout=60_000)
    assert panel.notice.isVisible() and panel.notice.text() and "nobody/there" not in hub.repos
    assert panel.start_button.isVisible() and panel.start_button.isEnabled()


def test_an_edited_card_is_kept_with_the_result_and_changes_can_be_dropped(
    qtbot: QtBot, panel: UploadPanel, output: Path
) -> None:
    editor = panel.editor
    made = editor._typed
    assert editor.text is None and not editor.keep_button.isEnabled()
    editor.edit.setPlainText(made + "more")
    assert editor.text == made + "more"
    qtbot.mouseClick(editor.undo_button, Qt.MouseButton.LeftButton)
    assert editor.text is None
    editor.edit.setPlainText(made + "kept words")
    qtbot.mouseClick(editor.keep_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: editor.text is None, timeout=20_000)
    assert (output / "README.md").read_text().endswith("kept words") and "by hand" in editor.state.text()


def test_the_preview_shows_the_fields_and_no_seal(panel: UploadPanel) -> None:
    text = panel.editor.preview.toPlainText()
    assert "library_name" in text and "qtquant card" not in text
    assert readable("no fields") == "no fields"


@pytest.mark.parametrize(
    ("name", "branch", "fine"),
    [
        ("model-w4", "", True),
        ("org/model", "a/branch", True),
        ("", "", False),
        ("a/b/c", "", False),
        ("-a", "", False),
        ("a..b", "", False),
        ("a", "b c", False),
        ("a", "../b", False),
    ],
)
def test_names_that_the_hub_would_refuse_are_refused_here(qtbot: QtBot, name: str, branch: str, fine: bool) -> None:
    form = UploadForm()
    qtbot.addWidget(form)
    form.show_names(("someone",))
    form.name.setText(name)
    form.branch.setText(branch)
    assert (form.fault == "") == fine
    if fine:
        assert form.destination.repo == (name if "/" in name else f"someone/{name}")
