"""A checkpoint that is quantized already, in the window: said on the Source page, decoded from the Recipe page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.verbs import Verbs
from tests.checkpoints import small_llama
from tests.driving import finish


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """A small model of four bits, as compressed-tensors."""
    checkpoint = open_checkpoint(small_llama(tmp_path / "base"))
    plan = make_plan(checkpoint, Recipe(default=Scheme(4, group_size=32)))
    finish(run(plan, RunOptions(str(tmp_path / "packed"))))
    return tmp_path / "packed"


@pytest.fixture
def window(qtbot: QtBot, make_window: Callable[[Verbs], MainWindow], quantized: Path) -> MainWindow:
    made = make_window(Verbs())
    made.session.set_recipe(Recipe(default=Scheme(4, group_size=32)))
    made.session.open(str(quantized))
    qtbot.waitUntil(lambda: made.session.plan is not None, timeout=20_000)
    return made


def test_the_source_page_says_how_it_is_quantized_and_leads_to_the_audit(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    page = window.source_page
    card = page.summary_card
    qtbot.waitUntil(card.packed_note.isVisible)
    assert "W4 g32" in card.facts.text("Quantized")
    assert "stored" in card.facts.text("Size") and "decoded" in card.facts.text("Size")
    card.packed_note.audit_button.click()
    panel = page.audit_panel
    assert panel.isVisible()
    assert panel.other_field.path == str(tmp_path / "packed")
    panel.base_field.set_path(str(tmp_path / "base"))
    with qtbot.waitSignal(panel.audited, timeout=30_000):
        panel.audit_button.click()
    assert panel.result.report is not None and panel.result.report.ok
    assert panel.result.model.rowCount() == len(panel.result.report.quantized) > 0


def test_decoding_to_floats_takes_one_click_and_can_be_undone(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session, page = window.session, window.recipe_page
    offer = page.decode_offer
    assert not offer.isHidden() and "quantized already" in offer.text.text()
    assert any("already quantized" in text for text in page.gives_card.warnings())
    offer.decode_button.click()
    assert session.recipe.format == "safetensors"
    assert not page.scheme_editor.isEnabled()
    qtbot.waitUntil(lambda: session.plan is not None, timeout=20_000)
    assert not session.plan.quantized  # type: ignore[union-attr]
    assert offer.decode_button.isHidden()
    with qtbot.waitSignal(session.run_finished, timeout=60_000):
        session.queue.start(session.plan, RunOptions(str(tmp_path / "floats")), "cpu")  # type: ignore[arg-type]
    decoded = open_checkpoint(tmp_path / "floats")
    assert not decoded.packed_by
    session.history.undo()
    assert session.recipe.format == "compressed-tensors"
    assert page.scheme_editor.isEnabled()


def test_float_checkpoints_are_offered_nothing(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    with qtbot.waitSignal(window.session.checkpoint_changed, timeout=20_000):
        window.session.open(str(tmp_path / "base"))
    assert window.recipe_page.decode_offer.isHidden()
    card = window.source_page.summary_card
    qtbot.waitUntil(lambda: card.facts.text("Quantized") == "no")
    assert card.packed_note.isHidden()
