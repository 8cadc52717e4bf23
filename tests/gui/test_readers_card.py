"""Which runtime loads the chosen format, in the window: by scheme, with what was run here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.runtime_table import COLUMNS, Cell, Row
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.readers_card import ReadersCard
from qtquant_app.jobs.job import Work
from tests.gui.scripted import Script, script


def row(format: str, scheme: str, **cells: Cell) -> Row:
    known = {name.replace("_", "-"): cell for name, cell in cells.items()}
    return Row(format, (scheme,), tuple(known.get(column.name, Cell("none")) for column in COLUMNS))


TABLE = (
    row(
        "compressed-tensors",
        "W4 g32 sym",
        vllm=Cell("source", "0.33"),
        vllm_cpu=Cell("refused", "0.32", "it packs <b>4</b> bits only"),
        transformers=Cell("run", "5.23.0"),
    ),
    row("gptq", "W4 g64 sym", vllm=Cell("source", "0.33")),
)


class Tabled(Script):
    def runtime_table(self) -> Work:
        return script([], TABLE)


@pytest.fixture
def session() -> Session:
    return Session(Tabled())


@pytest.fixture
def card(qtbot: QtBot, session: Session) -> ReadersCard:
    made = ReadersCard(session)
    qtbot.addWidget(made)
    made.resize(700, 300)
    made.show()
    qtbot.waitUntil(lambda: made.table is not None)
    return made


def titles(card: ReadersCard) -> list[str]:
    assert card.table is not None
    model = card.table.model()
    assert isinstance(model, RowsModel)
    return [column.title for column in model.columns]


def test_it_shows_the_runtimes_that_read_the_format_and_what_is_known_of_each(card: ReadersCard) -> None:
    assert titles(card) == ["Scheme", "vLLM on a GPU", "vLLM on a CPU", "transformers"]
    assert card.table is not None
    model = card.table.model()
    cells = [model.index(0, at).data() for at in range(model.columnCount())]
    assert cells == ["W4 g32 sym", "by source 0.33", "\u2715 no 0.32 *", "\u2713 run 5.23.0"]


def test_a_cell_tells_the_reason_as_text(card: ReadersCard) -> None:
    from PySide6.QtCore import Qt

    assert card.table is not None
    tip = card.table.model().index(0, 2).data(Qt.ItemDataRole.ToolTipRole)
    assert "packs &lt;b&gt;4&lt;/b&gt; bits only" in tip


def test_another_format_shows_its_own_readers(card: ReadersCard, session: Session) -> None:
    session.set_recipe(replace(session.recipe, format="gptq"))
    assert titles(card) == ["Scheme", "vLLM on a GPU"]
    assert "gptq" in card.title.text()
    session.set_recipe(replace(session.recipe, format="safetensors"))
    assert card.table is None
    assert "whatever reads safetensors" in card.state.text()
