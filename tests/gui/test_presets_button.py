"""The button of presets: what it offers, and that a choice becomes the recipe."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QInputDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.presets import presets, save_preset
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.presets_button import PresetsButton
from tests.gui.scripted import Script


@pytest.fixture
def session(qtbot: QtBot) -> Session:
    return Session(Script())


@pytest.fixture
def button(qtbot: QtBot, session: Session) -> PresetsButton:
    made = PresetsButton(session)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: bool(made.presets()))
    return made


def actions(button: PresetsButton) -> dict[str, QAction]:
    button.menu().aboutToShow.emit()
    return {action.text().split("\t")[0]: action for action in button.menu().actions()}


def opened(qtbot: QtBot, session: Session) -> None:
    with qtbot.waitSignal(session.checkpoint_changed):
        session.open("anything")


def test_every_preset_is_offered_with_its_bits_and_says_for_whom_it_is(button: PresetsButton) -> None:
    found = actions(button)
    for entry in presets():
        assert entry.preset is not None
        action = found[entry.preset.title]
        assert f"{entry.preset.bits_per_weight:g} bits" in action.text()
        assert entry.preset.audience in action.statusTip() and "Loaded by" in action.statusTip()
    assert not found["&Delete"].isEnabled()


def test_one_that_names_layers_waits_for_a_checkpoint(qtbot: QtBot, button: PresetsButton, session: Session) -> None:
    title = "Smallest that still works"
    assert not actions(button)[title].isEnabled()
    assert actions(button)[title].statusTip().startswith("Open a checkpoint first")
    opened(qtbot, session)
    assert actions(button)[title].isEnabled()
    with qtbot.waitSignal(session.recipe_changed):
        actions(button)[title].trigger()
    assert [rule.pattern for rule in session.recipe.rules] == ["model.layers.0.*", "model.layers.11.*", "*.down_proj"]


def test_a_choice_becomes_the_recipe_and_can_be_undone(qtbot: QtBot, button: PresetsButton, session: Session) -> None:
    before = session.recipe
    with qtbot.waitSignal(session.recipe_changed):
        actions(button)["As in the course: linear, 4 bits"].trigger()
    assert session.recipe.format == "qtquant"
    session.history.undo()
    assert session.recipe == before


def test_the_recipe_is_kept_as_a_preset_replaced_once_agreed_and_deleted(
    qtbot: QtBot, button: PresetsButton, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"text": "My own", "agreed": False}
    asked: list[str] = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *words: (answers["text"], True))
    button.agreed = lambda question: asked.append(question) or bool(answers["agreed"])  # type: ignore[method-assign]

    def own() -> dict[str, Recipe]:
        return {e.preset.name: e.preset.recipe for e in presets() if e.preset and e.preset.own}

    first, second = Recipe(Scheme(5), (Rule("*.o_proj", "keep"),)), Recipe(Scheme(6))
    session.set_recipe(first)
    actions(button)["&Save the current recipe as a preset…"].trigger()
    qtbot.waitUntil(lambda: own() == {"my-own": first} and len(button.presets()) == len(presets()))
    session.set_recipe(second)
    actions(button)["&Save the current recipe as a preset…"].trigger()
    qtbot.waitUntil(lambda: len(asked) == 1)
    assert own() == {"my-own": first}
    answers["agreed"] = True
    actions(button)["&Save the current recipe as a preset…"].trigger()
    qtbot.waitUntil(lambda: own() == {"my-own": second})
    delete = actions(button)["&Delete"].menu()
    delete.actions()[0].trigger()
    qtbot.waitUntil(lambda: own() == {} and len(button.presets()) == len(presets()))
    assert "My own" not in actions(button)


def test_a_spoilt_one_is_shown_with_its_fault(qtbot: QtBot, button: PresetsButton) -> None:
    from qtquant_app.engine.presets import user_folder

    save_preset("good", Recipe())
    (user_folder() / "spoilt & bad.json").write_text("{")
    count = len(button.presets())
    button.load()
    qtbot.waitUntil(lambda: len(button.presets()) == count + 2)
    action = actions(button)["spoilt && bad"]
    assert not action.isEnabled() and "is not JSON" in action.statusTip()
