"""What is kept between starts."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.settings import RECENT_LIMIT, Settings


def again(settings: Settings) -> Settings:
    settings.sync()
    return Settings()


def test_recent_checkpoints_come_newest_first_each_once_and_not_too_many(settings: Settings) -> None:
    for i in range(RECENT_LIMIT + 3):
        settings.add_recent(f"/models/{i}")
    settings.add_recent("/models/5")
    recent = again(settings).recent()
    assert recent[0] == "/models/5"
    assert len(recent) == len(set(recent)) == RECENT_LIMIT


def test_a_single_recent_checkpoint_survives(settings: Settings) -> None:
    settings.add_recent("/models/a, b")
    assert again(settings).recent() == ["/models/a, b"]
    settings.forget_recent()
    assert again(settings).recent() == []


def test_the_default_scheme_is_kept_but_not_what_belongs_to_one_model(settings: Settings) -> None:
    scheme = Scheme(bits=3, group_size=32, symmetric=False, method="mse")
    settings.set_recipe(Recipe(scheme, (Rule("a.*", "keep"),), ("b",), "qtquant"))
    assert again(settings).recipe() == Recipe(scheme, (), (), "qtquant")


def test_spoilt_settings_count_as_unset(settings: Settings) -> None:
    settings.set("recipe", '{"default": {"bits": 99}}')
    settings.set("number", "many")
    settings.set("window/geometry", "not bytes")
    settings.set("recent", 3)
    kept = again(settings)
    assert kept.recipe() == Recipe()
    assert kept.number("number", 7) == 7
    assert kept.bytes("window/geometry").isEmpty()
    assert kept.recent() == ["3"]


def test_a_file_of_their_own_can_hold_the_settings(tmp_path: Path) -> None:
    Settings(tmp_path / "own.ini").set("verify", "quick")
    assert Settings(tmp_path / "own.ini").text("verify") == "quick"
    assert Settings().text("verify") == ""
