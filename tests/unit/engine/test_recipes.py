"""Recipes on disk: in a file of their own, in a result's record, in a result's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.recipes import read_recipe, save_recipe

RECIPE = Recipe(Scheme(bits=3), (Rule("*.mlp.*", "keep"),), ("lm_head",), "qtquant")


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    save_recipe(RECIPE, tmp_path / "r.json")
    assert read_recipe(tmp_path / "r.json") == RECIPE


def test_a_result_gives_its_recipe_by_its_folder_or_its_record(tmp_path: Path) -> None:
    (tmp_path / "qtquant.json").write_text(json.dumps({"recipe": RECIPE.to_json(), "files": {}}))
    assert read_recipe(tmp_path) == read_recipe(tmp_path / "qtquant.json") == RECIPE


@pytest.mark.parametrize("path", ["nowhere.json", "nowhere", "org/none.json"])
def test_what_is_not_there_is_refused_by_name(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=path):
        read_recipe(path)


def test_a_folder_without_a_record_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"qtquant\.json"):
        read_recipe(tmp_path)
