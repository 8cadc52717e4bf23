"""The audit in the window: a quantized checkpoint beside its base, what was found, and the ways to take that away."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.audit import AuditedTensor, AuditReport, Finding
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, Warned
from qtquant_app.core.report import ErrorSums
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.audit_findings import MOST
from qtquant_app.gui.widgets.audit_panel import AuditPanel
from qtquant_app.jobs.job import Work
from tests.gui.scripted import Script, script


def tensor(name: str, state: str = "quantized", error: float = 1.0, **more: object) -> AuditedTensor:
    sums = ErrorSums(1000, error, 400.0, 400.0, 0.5)
    return AuditedTensor(name, name, "linear", (10, 100), state, "gptq W4 g128 sym", 520, sums, **more)  # type: ignore[arg-type]


A, B = tensor("a.weight", error=4.0, groups=8, groups_off=3), tensor("b.weight", groups=8)
KEPT = tensor("norm.weight", "kept", error=0.0)
FINDINGS = (
    Finding("scale", "wrong", "a.weight: 3 groups have scales that do not fit", ("a.weight",), 2.0),
    Finding("skipped", "suspect", "norm.weight is kept, and its like are not", ("norm.weight",)),
    Finding("missing", "note", "c.weight is missing", ("c.weight",)),
)
REPORT = AuditReport("/models/other", "made up", "gptq", (A, B, KEPT), FINDINGS, ("c.weight",), ())


class Auditor(Script):
    """Finds REPORT, or what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[object, object]] = []
        self.report = REPORT
        self.error: SourceError | None = None
        self.started, self.stopped = threading.Event(), threading.Event()

    def audit(self, other: str | Checkpoint, base: str | Checkpoint) -> Work:
        self.asked.append((other, base))
        if self.error is not None:
            return script([], error=self.error)
        events: list[Event] = [RunStarted(3, 30), ChunkDone("a", 15), Warned("not-compared", "odd.weight is a scalar")]
        return script(events, self.report)


@pytest.fixture
def verbs() -> Auditor:
    return Auditor()


@pytest.fixture
def panel(qtbot: QtBot, verbs: Auditor) -> AuditPanel:
    made = AuditPanel(Session(verbs))
    qtbot.addWidget(made)
    made.resize(800, 560)
    made.show()
    return made


def audited(qtbot: QtBot, panel: AuditPanel) -> None:
    panel.other_field.set_path("/models/other")
    panel.base_field.set_path("/models/base")
    with qtbot.waitSignal(panel.audited):
        qtbot.mouseClick(panel.audit_button, Qt.MouseButton.LeftButton)


def test_it_says_what_is_missing_until_two_checkpoints_are_named(panel: AuditPanel) -> None:
    assert not panel.audit_button.isEnabled()
    assert "quantized checkpoint" in panel.state.text()
    panel.other_field.set_path("/models/other")
    assert "made from" in panel.state.text()
    panel.base_field.set_path("/models/other")
    assert not panel.audit_button.isEnabled()
    panel.base_field.set_path("  /models/base ")
    assert panel.audit_button.isEnabled()


def test_what_was_found_shows_the_gravest_first_in_words(qtbot: QtBot, panel: AuditPanel, verbs: Auditor) -> None:
    audited(qtbot, panel)
    assert verbs.asked == [("/models/other", "/models/base")]
    assert "1 thing is wrong with /models/other" in panel.result.verdict.text()
    assert "2 of 3 tensors quantized" in panel.result.totals.text()
    names = [row.text.accessibleName() for row in panel.result.findings.rows()]
    assert [name.split(",")[0] for name in names] == ["Wrong", "Suspect", "Worth knowing"]
    assert "1 tensor could not be compared" in panel.state.text()
    assert "odd.weight" in panel.state.accessibleDescription()


def test_the_table_sorts_by_error_and_lists_kept_tensors_on_request(qtbot: QtBot, panel: AuditPanel) -> None:
    audited(qtbot, panel)
    model, table = panel.result.model, panel.result.table
    assert [model.row(i).name for i in range(model.rowCount())] == ["a.weight", "b.weight"]
    column = next(i for i, column in enumerate(model.columns) if column.title == "Rel. error")
    table.sortByColumn(column, Qt.SortOrder.AscendingOrder)
    assert [model.row(i).name for i in range(model.rowCount())] == ["b.weight", "a.weight"]
    panel.result.all_box.click()
    assert [model.row(i).name for i in range(model.rowCount())] == ["norm.weight", "b.weight", "a.weight"]


def test_a_finding_leads_to_its_tensors_even_to_those_that_are_kept(qtbot: QtBot, panel: AuditPanel) -> None:
    audited(qtbot, panel)
    panel.result.findings.rows()[1].tensors_wanted.emit(("norm.weight",))
    chosen = [panel.result.model.row(i.row()).name for i in panel.result.table.selectionModel().selectedRows()]
    assert chosen == ["norm.weight"]
    assert panel.result.all_box.isChecked()


def test_a_finding_about_what_is_not_there_leads_nowhere(qtbot: QtBot, panel: AuditPanel) -> None:
    from qtquant_app.gui.widgets.buttons import Button

    audited(qtbot, panel)
    buttons = [len(row.findChildren(Button)) for row in panel.result.findings.rows()]
    assert buttons == [1, 1, 0]


def test_a_file_with_thousands_of_faults_does_not_make_thousands_of_rows(
    qtbot: QtBot, panel: AuditPanel, verbs: Auditor
) -> None:
    many = tuple(Finding("scale", "wrong", f"{i} is off", ()) for i in range(1000))
    verbs.report = AuditReport("o", "b", "gptq", (A,), many, (), ())
    audited(qtbot, panel)
    assert len(panel.result.findings.rows()) == MOST


def test_the_report_is_saved_as_the_command_line_prints_it(
    qtbot: QtBot, panel: AuditPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited(qtbot, panel)
    file = tmp_path / "audit.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    panel.result.save_report()
    qtbot.waitUntil(lambda: file.exists() and file.read_bytes().endswith(b"}\n"))
    assert json.loads(file.read_text()) == json.loads(json.dumps(REPORT.to_json()))


def test_the_tensors_are_saved_with_all_their_figures(
    qtbot: QtBot, panel: AuditPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited(qtbot, panel)
    file = tmp_path / "audit.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    panel.result.save_tensors()
    qtbot.waitUntil(lambda: file.exists() and file.read_text().count("\n") == 3)
    assert "a.weight,gptq W4 g128 sym,4.16,0.1,20.0,0.5,3" in file.read_text()


def test_the_findings_are_copied_as_text(qtbot: QtBot, panel: AuditPanel) -> None:
    audited(qtbot, panel)
    panel.result.copy_findings()
    assert "wrong: a.weight: 3 groups" in QGuiApplication.clipboard().text()


def test_a_refusal_stands_above_and_the_fields_can_be_mended(qtbot: QtBot, panel: AuditPanel, verbs: Auditor) -> None:
    verbs.error = SourceError("/models/base is quantized itself (awq)", code="quantized-base")
    panel.other_field.set_path("/models/other")
    panel.base_field.set_path("/models/base")
    panel.start()
    qtbot.waitUntil(panel.error_panel.isVisible)
    assert "quantized itself" in panel.error_panel.text()
    assert panel.audit_button.isEnabled()
    assert panel.base_field.isEnabled()


def test_stopping_closes_the_audit_and_leaves_it_ready(qtbot: QtBot, panel: AuditPanel, verbs: Auditor) -> None:
    def endless() -> Generator[Event, None, AuditReport]:
        verbs.started.set()
        try:
            while True:
                verbs.gate.wait(0.005)
                yield ChunkDone("a", 0)
        except GeneratorExit:
            verbs.stopped.set()
            raise

    verbs.audit = lambda *_: endless  # type: ignore[method-assign]
    panel.other_field.set_path("/models/other")
    panel.base_field.set_path("/models/base")
    panel.start()
    qtbot.waitUntil(lambda: panel.stop_button.isVisible() and verbs.started.is_set())
    panel.stop_button.click()
    qtbot.waitUntil(lambda: not panel.busy)
    assert verbs.stopped.is_set()
    assert panel.audit_button.isEnabled()
    assert not panel.result.isVisible()


def test_what_is_open_fills_the_field_it_belongs_to_and_is_not_opened_again(
    qtbot: QtBot, panel: AuditPanel, verbs: Auditor
) -> None:
    session = panel._session
    with qtbot.waitSignal(session.checkpoint_changed):
        session.open("sample")
    assert panel.base_field.path == "made up"
    assert panel.other_field.path == ""
    panel.other_field.set_path("/models/other")
    with qtbot.waitSignal(panel.audited):
        panel.start()
    assert verbs.asked == [("/models/other", session.checkpoint)]


def test_a_checkpoint_dropped_on_a_field_is_named_there(panel: AuditPanel) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile("/models/other.gguf")])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(1, 1), Qt.DropAction.CopyAction, data, buttons, keys)
    panel.other_field.edit.setText("what was there")
    panel.other_field.edit.dropEvent(event)
    assert panel.other_field.path == "/models/other.gguf"


def test_hostile_names_stay_text(qtbot: QtBot, panel: AuditPanel, verbs: Auditor) -> None:
    evil = "<b>x</b>\u202e\n.weight"
    verbs.report = AuditReport(
        evil, "b", evil, (tensor(evil),), (Finding("scale", "wrong", f"{evil} is off", (evil,)),), (), ()
    )
    audited(qtbot, panel)
    assert panel.result.verdict.textFormat() == Qt.TextFormat.PlainText
    assert "\u202e" not in panel.result.verdict.text()
    assert "\n" not in panel.result.model.index(0, 0).data()
