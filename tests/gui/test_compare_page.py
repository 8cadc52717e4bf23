"""The Compare page: results added, held against each other, evaluated where numbers are missing, and taken away."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.results import ResultRow, ResultTable, Skipped, table
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.models.result_table import BEST
from qtquant_app.gui.pages.compare import ComparePage
from qtquant_app.gui.plots.results_plot import fronts
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work
from tests.checkpoints import small_llama
from tests.gui.scripted import Script


def judged(kl: float | None, text: str = "a text") -> tuple[Evaluated, ...]:
    return () if kl is None else (Evaluated(text, 100, 11.0, 11.5, kl, 0.001, 0.9),)


def result(name: str, size: int, kl: float | None = None, text: str = "a text") -> ResultRow:
    return ResultRow(
        path=f"/results/{name}",
        name=name,
        base="model",
        format="qtquant",
        scheme="W4 g128 sym gptq",
        methods=("gptq",),
        ours=True,
        bytes=size,
        bits_per_weight=4.25,
        evaluations=judged(kl, text),
    )


ROWS = {
    row.path: row
    for row in (
        result("small", 2_000_000, 0.4),
        result("middle", 3_000_000, 0.5),
        result("large", 4_000_000, 0.1),
        result("unknown", 1_000_000),
        result("fresh", 5_000_000),
    )
}


class Shelf(Script):
    """Knows five results; a folder that ends in "all" stands for them."""

    def __init__(self) -> None:
        super().__init__()
        self.collected: list[tuple[str, ...]] = []
        self.refused: set[str] = set()

    def collect(self, paths: tuple[str, ...]) -> Work:
        self.collected.append(paths)
        named = [path for given in paths for path in (ROWS if given.endswith("/all") else (given,))]

        def work() -> Generator[Event, None, ResultTable]:
            yield ChunkDone("a", 1)
            known = dict.fromkeys(path for path in named if path in ROWS)
            skipped = [Skipped(path, "is not quantized") for path in named if path not in ROWS]
            return table([ROWS[path] for path in known], skipped)

        return work

    def evaluate(self, folder: str, base: str, text: str, device: str, **choices: object) -> Work:
        self.evaluation_error = EvaluateError("it has no tokenizer", code="model") if folder in self.refused else None
        self.evaluation = replace(self.evaluation, text="a text", tokens=100)
        return super().evaluate(folder, base, text, device, **choices)  # type: ignore[arg-type]


@pytest.fixture
def verbs() -> Shelf:
    return Shelf()


@pytest.fixture
def session(verbs: Shelf) -> Session:
    return Session(verbs)


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings) -> ComparePage:
    made = ComparePage(session, settings)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    return made


@pytest.fixture
def filled(qtbot: QtBot, page: ComparePage, session: Session) -> ComparePage:
    page.add(["/all"])
    qtbot.waitUntil(lambda: page.model.rowCount() == len(ROWS) and not session.results.collecting)
    return page


def column(page: ComparePage, title: str) -> list[str]:
    at = next(at for at, column in enumerate(page.model.columns) if column.title == title)
    return [page.model.index(row, at).data() for row in range(page.model.rowCount())]


def opened(qtbot: QtBot, session: Session) -> None:
    with qtbot.waitSignal(session.checkpoint_changed):
        session.open("made up")


def test_an_empty_page_says_what_to_do_next(page: ComparePage, monkeypatch: pytest.MonkeyPatch, verbs: Shelf) -> None:
    assert page.first_button.isVisible() and not page.table.isVisible()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/folder/all")
    page.first_button.click()
    assert verbs.collected[-1] == ("/folder/all",)


def test_results_stand_side_by_side_and_the_front_is_marked(filled: ComparePage) -> None:
    assert column(filled, "Name") == ["unknown", "small", "middle", "large", "fresh"]
    assert column(filled, "Front") == ["", BEST, "", BEST, ""]
    assert column(filled, "KL")[1] == "0.4"
    at = next(at for at, column in enumerate(filled.model.columns) if column.title == "KL")
    assert "0.4 \N{PLUS-MINUS SIGN} 0.001 nats" in filled.model.index(1, at).data(Qt.ItemDataRole.ToolTipRole)
    assert column(filled, "Judged on") == [
        "not evaluated",
        "100 of a text",
        "100 of a text",
        "100 of a text",
        "not evaluated",
    ]
    assert [row.name for row in filled.plot.rows] == ["small", "middle", "large"]
    assert "middle: 3.00 MB, 4.25 bits a weight, KL 0.5;" in filled.plot.accessibleDescription() + ";"


def test_only_what_was_judged_on_the_same_samples_makes_a_front() -> None:
    rows = table([result("a", 1, 0.4), result("b", 2, 0.5, "another text"), result("c", 3, 0.3)]).rows
    assert [[row.name for row in front] for front in fronts(rows)] == [["a", "c"], ["b"]]


def test_what_is_chosen_in_the_plot_is_chosen_in_the_table_and_the_other_way_round(
    filled: ComparePage, qtbot: QtBot
) -> None:
    filled.plot.setFocus()
    QTest.keyClick(filled.plot, Qt.Key.Key_Right)
    QTest.keyClick(filled.plot, Qt.Key.Key_Right)
    assert filled.chosen == ("/results/middle",)
    assert filled.read_out.full_text().startswith("middle: 3.00 MB")
    filled.table.selectRow(3)
    assert filled.plot._marked == "/results/large"
    place = filled.plot.mapFromScene(filled.plot.on_screen(filled.plot.rows[0]))
    qtbot.mouseClick(filled.plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert filled.chosen == ("/results/small",)


def test_the_missing_are_evaluated_one_after_the_other_and_a_failure_holds_none_up(
    filled: ComparePage, session: Session, verbs: Shelf, qtbot: QtBot
) -> None:
    assert not filled.evaluate_button.isEnabled() and "Open the original" in filled.state.text()
    opened(qtbot, session)
    verbs.refused = {"/results/unknown"}
    filled.evaluate_button.click()
    assert session.results.left == 2 and filled.stop_button.isVisible()
    qtbot.waitUntil(lambda: not session.results.left)
    assert [folder for folder, _, _ in verbs.evaluated] == ["/results/unknown", "/results/fresh"]
    assert column(filled, "Judged on")[0] == "failed" and column(filled, "KL")[4] == "0.0123"
    assert "unknown: it has no tokenizer." in filled.state.text()
    assert column(filled, "Front") == ["", BEST, "", BEST, BEST]
    assert len(filled.plot.rows) == 4


def test_a_checkpoint_of_somebody_else_is_held_against_ours_once_it_is_evaluated_here(
    filled: ComparePage, session: Session, verbs: Shelf, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(qtbot, session)
    assert session.checkpoint is not None
    name = Path(session.checkpoint.source).name
    ours = replace(result("ours", 9, 0.01), base=name)
    theirs = replace(result("theirs", 10), base="", ours=False)
    monkeypatch.setattr("tests.gui.test_compare_page.ROWS", {row.path: row for row in (ours, theirs)})
    filled.add(["/all"])
    qtbot.waitUntil(lambda: len(session.results.rows) == 2)
    filled.evaluate(["/results/theirs"])
    qtbot.waitUntil(lambda: not session.results.left and not session.results.missing)
    rows = {row.name: row for row in session.results.rows}
    assert rows["theirs"].base == name and rows["theirs"].kl == 0.0123
    assert rows["ours"].best and not rows["theirs"].best  # larger, and farther away


def test_evaluations_can_be_given_up(filled: ComparePage, session: Session, verbs: Shelf, qtbot: QtBot) -> None:
    opened(qtbot, session)
    filled.evaluate_button.click()
    filled.stop_button.click()
    qtbot.waitUntil(lambda: not session.results.left)
    assert session.results.missing == ("/results/unknown", "/results/fresh")
    assert filled.evaluate_button.isEnabled()


def test_a_result_that_is_taken_off_while_it_is_evaluated_makes_room_for_the_next(
    filled: ComparePage, session: Session, verbs: Shelf, qtbot: QtBot
) -> None:
    opened(qtbot, session)
    filled.evaluate(session.results.missing)
    assert session.results.evaluating == "/results/unknown"
    filled.table.selectRow(0)
    filled.remove_button.click()
    qtbot.waitUntil(lambda: not session.results.left)
    assert column(filled, "Name") == ["small", "middle", "large", "fresh"]
    assert session.results.missing == ()


def test_delete_takes_the_chosen_off_the_list(filled: ComparePage, qtbot: QtBot) -> None:
    filled.activateWindow()
    filled.table.setFocus()
    filled.table.selectRow(1)
    QTest.keyClick(filled.table, Qt.Key.Key_Delete)
    assert "small" not in column(filled, "Name")


def test_what_is_no_result_is_said(filled: ComparePage, session: Session, qtbot: QtBot) -> None:
    filled.add(["/floats"])
    qtbot.waitUntil(lambda: not session.results.collecting and bool(session.results.skipped))
    assert "1 place left out: /floats is not quantized." in filled.state.text()
    assert filled.model.rowCount() == len(ROWS)


def test_dropped_folders_are_added_and_two_additions_at_once_lose_none(
    page: ComparePage, session: Session, qtbot: QtBot
) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile("/results/small"), QUrl.fromLocalFile("/results/large")])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    page.dropEvent(event)
    page.add(["/results/middle"])
    qtbot.waitUntil(lambda: page.model.rowCount() == 3 and not session.results.collecting)
    assert column(page, "Name") == ["small", "middle", "large"]


def test_what_was_compared_is_there_again_at_the_next_start(
    filled: ComparePage, verbs: Shelf, settings: Settings, qtbot: QtBot
) -> None:
    filled.table.selectRow(0)
    filled.remove()
    again = ComparePage(Session(verbs), settings)
    qtbot.addWidget(again)
    again.show()
    qtbot.waitUntil(lambda: again.model.rowCount() == len(ROWS) - 1)
    settings.set("compare/results", "no list")
    spoilt = ComparePage(Session(verbs), settings)
    qtbot.addWidget(spoilt)
    spoilt.show()
    assert spoilt.model.rowCount() == 0


def test_table_and_plot_give_their_numbers_away(filled: ComparePage) -> None:
    titles, rows = filled.model.numbers()
    assert "Size (bytes)" in titles and "KL (nats)" in titles
    values = dict(zip(titles, list(rows)[1], strict=True))
    assert (values["Size (bytes)"], values["KL (nats)"], values["Front"]) == (2_000_000, 0.4, "yes")
    numbers = filled.plot.table()
    assert numbers is not None and next(tuple(row)[3:] for row in numbers[1]) == (2_000_000, 0.4, "yes")


def test_a_real_result_is_found_beside_what_is_none(
    qtbot: QtBot, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QTQUANT_CONFIG", str(tmp_path / "config"))
    source = open_checkpoint(small_llama(tmp_path / "m"))
    plan = make_plan(source, Recipe(default=Scheme(4, group_size=32), format="qtquant"), device="cpu")
    for _ in run(plan, RunOptions(str(tmp_path / "out"), verify="none")):
        pass
    page = ComparePage(Session(Verbs()), settings)
    qtbot.addWidget(page)
    page.show()
    page.add([str(tmp_path / "out"), str(tmp_path / "m")])
    qtbot.waitUntil(lambda: page.model.rowCount() == 1 and "left out" in page.state.text(), timeout=20_000)
    assert column(page, "Scheme") == ["W4 g32 sym"] and column(page, "Format") == ["qtquant"]
