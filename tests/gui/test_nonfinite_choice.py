"""What becomes of weights that are not finite is chosen beside the recipe's other knobs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytestqt.qtbot import QtBot

from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import POLICIES, Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.verbs import Verbs
from tests.checkpoints import llama_tensors, write_checkpoint
from tests.driving import result
from tests.gui.scripted import Script


def test_the_choice_is_the_recipes_own(qtbot: QtBot) -> None:
    session = Session(Script())
    page = RecipePage(session, Settings())
    qtbot.addWidget(page)
    combo = page.nonfinite_choice.combo
    assert [combo.itemData(row) for row in range(combo.count())] == list(POLICIES)
    combo.setCurrentIndex(combo.findData("repair"))
    assert session.recipe.nonfinite == "repair"
    session.set_recipe(Recipe(nonfinite="keep"))
    assert combo.currentData() == "keep"


def test_keeping_looks_at_the_weights_before_it_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "cache"))
    tensors, bad = llama_tensors(), "model.layers.0.mlp.up_proj.weight"
    tensors[bad][3, 4] = torch.nan
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "model", tensors))
    for policy, action in (("refuse", "quantize"), ("keep", "keep")):
        recipe = Recipe(Scheme(group_size=32), nonfinite=policy)  # type: ignore[arg-type]
        plan: Plan = result(Verbs().plan(checkpoint, recipe, None, "cpu")())
        assert next(t.action for t in plan.tensors if t.name == bad) == action
