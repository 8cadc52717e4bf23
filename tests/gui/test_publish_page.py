"""The Publish page: the result, its proof, how to load it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import VerifyError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.report import Mismatch
from qtquant_app.core.snippets import snippets
from qtquant_app.formats.base import registry
from qtquant_app.gui.pages.publish import PublishPage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from tests.gui.scripted import Script, script


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def session(verbs: Script, qtbot: QtBot) -> Session:
    return Session(verbs)


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings) -> PublishPage:
    made = PublishPage(session, settings)
    qtbot.addWidget(made)
    made.resize(1100, 640)
    made.show()
    return made


@pytest.fixture
def saved(qtbot: QtBot, page: PublishPage, session: Session) -> PublishPage:
    """The page after a run."""
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        session.open("made up")
    assert session.plan is not None
    with qtbot.waitSignal(session.run_finished):
        session.runner.start(session.plan, RunOptions("/results/one"))
    return page


def test_before_a_run_the_page_says_what_to_do(page: PublishPage) -> None:
    assert page._stack.currentIndex() == 0
    assert not page.proof_card.isVisible()


def test_a_run_shows_its_folder_figures_and_hashes(saved: PublishPage) -> None:
    assert saved.facts.text("Folder") == "/results/one"
    assert saved.facts.text("Size") == "123 MB"
    assert saved.facts.text("Tensors") == "72 quantized, 27 kept"
    assert saved.files_model.index(0, 1).data() == "0123456789abcdef" * 4
    assert "every tensor was read back" in saved.proof_card.verdict.text()


def test_verifying_again_compares_with_the_source_and_says_what_it_found(
    qtbot: QtBot, saved: PublishPage, session: Session, verbs: Script
) -> None:
    with qtbot.waitSignal(session.verifier.finished):
        qtbot.mouseClick(saved.proof_card.again_button, Qt.MouseButton.LeftButton)
        assert not saved.proof_card.again_button.isEnabled()
    qtbot.waitUntil(saved.proof_card.again_button.isEnabled)
    assert saved.proof_card.verdict.text() == "\u2713 All as it was written: 1 weight file with 3 tensors."
    assert verbs.verified == [("/results/one", "")]


def test_differences_are_listed(qtbot: QtBot, saved: PublishPage, session: Session, verbs: Script) -> None:
    verbs.mismatches = (Mismatch("<b>w</b>", "has changed"), Mismatch("x", "is missing"))
    with qtbot.waitSignal(session.verifier.finished):
        saved.proof_card.again_button.click()
    assert saved.proof_card.verdict.text() == "\u2717 2 differences in 1 weight file with 3 tensors."
    assert saved.proof_card.mismatch_table.isVisible()
    assert saved.proof_card.mismatches.index(0, 0).data() == "<b>w</b>"


def test_a_verification_that_fails_shows_why(
    qtbot: QtBot, saved: PublishPage, session: Session, verbs: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "verify", lambda *_: script([], error=VerifyError("no record", code="record")))
    with qtbot.waitSignal(session.verifier.failed):
        saved.proof_card.again_button.click()
    assert saved.error_panel.text() == "No record"
    assert "Not verified" in saved.proof_card.verdict.text()


def test_the_folder_is_opened_by_the_desktop(saved: PublishPage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    saved.show_button.click()
    assert opened == [QUrl.fromLocalFile("/results/one")]


def test_the_code_for_each_reader_can_be_copied(saved: PublishPage, session: Session) -> None:
    card = saved.snippet_card
    assert [card.reader_combo.itemText(i) for i in range(card.reader_combo.count())] == ["transformers", "vLLM"]
    card.reader_combo.setCurrentIndex(1)
    card.copy_button.click()
    assert "LLM(model='/results/one')" in QGuiApplication.clipboard().text()


@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
@pytest.mark.parametrize("dequantize", [False, True])
def test_every_snippet_is_python_whatever_the_folder_is_called(format: str, dequantize: bool) -> None:
    folder = 'C:\\models\\it\'s "here"\n'
    for snippet in snippets(format, folder, dequantize=dequantize):
        compile(snippet.code, snippet.title, "exec")
        assert repr(folder) in snippet.code
    assert snippets("of-the-future", folder) == ()


@pytest.mark.parametrize("format", sorted(registry()))
def test_each_format_has_code_that_loads_it_and_is_python(format: str) -> None:
    folder = 'C:\\models\\it\'s "here"\n'
    found = snippets(format, folder)
    assert found
    for snippet in found:
        compile(snippet.code, snippet.title, "exec")
        assert repr(folder)[1:-1] in snippet.code


def test_asymmetric_weights_are_loaded_dequantized_by_transformers() -> None:
    assert "CompressedTensorsConfig(dequantize=True)" in snippets("compressed-tensors", "x", dequantize=True)[0].code
    assert "dequantize" not in snippets("compressed-tensors", "x")[0].code


def write_record(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    tensor = {"action": "quantize", "scheme": {"symmetric": False}}
    plan = {"output_bytes": 1000, "bits_per_weight": 4.5, "tensors": [tensor, {"action": "keep", "scheme": None}]}
    record = {"format": "qtquant", "verified": "quick", "sha256": {"a": "b"}, "plan": plan} | changes
    (folder / "qtquant.json").write_text(json.dumps(record))
    return folder


def test_an_earlier_result_can_be_opened(
    qtbot: QtBot, page: PublishPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_record(tmp_path / "earlier")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    page.open_button.click()
    qtbot.waitUntil(page.proof_card.isVisible)
    assert page.facts.text("Tensors") == "1 quantized, 1 kept"
    assert page.proof_card.verdict.text().startswith("Partly verified")
    assert page.snippet_card.code.toPlainText().count("qtquant_app.load(folder)") == 1


def test_a_folder_without_a_record_is_refused(qtbot: QtBot, page: PublishPage, tmp_path: Path) -> None:
    page.read(str(tmp_path))
    qtbot.waitUntil(page.error_panel.isVisible)
    assert "qtquant.json" in page.error_panel.text()


def test_a_damaged_record_is_refused(qtbot: QtBot, page: PublishPage, tmp_path: Path) -> None:
    page.read(str(write_record(tmp_path / "damaged", sha256=3)))
    qtbot.waitUntil(page.error_panel.isVisible)
    assert "damaged" in page.error_panel.text()


def test_another_checkpoint_takes_the_result_away(qtbot: QtBot, saved: PublishPage, session: Session) -> None:
    with qtbot.waitSignal(session.checkpoint_changed):
        session.open("another")
    assert saved._stack.currentIndex() == 0
