"""Undo and redo of the recipe: every edit can be taken back, and done again, to the letter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from weakref import ref

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.recipe_history import MOMENT_SECONDS
from qtquant_app.gui.session import Session
from tests.gui.scripted import Script

PATTERNS = ("*.down_proj", "*.mlp.*", "re:.*q_proj", "lm_head", "model.layers.3.*", "a&b")


@pytest.fixture
def session(qtbot: QtBot) -> Session:
    return Session(Script())


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(session: Session) -> Clock:
    found = Clock()
    session.history.clock = found
    return found


def _scheme(random: Random) -> Scheme:
    return Scheme(bits=random.randint(2, 8), group_size=random.choice((32, 64, 128)), symmetric=random.random() < 0.5)


def _rule(random: Random) -> Rule:
    return Rule(random.choice(PATTERNS), "keep" if random.random() < 0.2 else _scheme(random))


def _without(random: Random, recipe: Recipe) -> Recipe:
    rules = list(recipe.rules)
    if rules:
        rules.pop(random.randrange(len(rules)))
    return replace(recipe, rules=tuple(rules))


def _shuffled(random: Random, recipe: Recipe) -> Recipe:
    return replace(recipe, rules=tuple(random.sample(recipe.rules, len(recipe.rules))))


EDITS: tuple[Callable[[Random, Recipe], Recipe], ...] = (
    lambda random, recipe: replace(recipe, default=_scheme(random)),
    lambda random, recipe: replace(recipe, default=replace(recipe.default, bits=random.randint(2, 8))),
    lambda random, recipe: replace(recipe, rules=(*recipe.rules, _rule(random))),
    _without,
    _shuffled,
    lambda random, recipe: replace(recipe, ignore=tuple(random.sample(PATTERNS, random.randint(0, 3)))),
    lambda random, recipe: replace(recipe, format=random.choice(("compressed-tensors", "qtquant"))),
    lambda random, recipe: Recipe(_scheme(random), tuple(_rule(random) for _ in range(3))),
)


@pytest.mark.parametrize("seed", range(8))
def test_over_500_random_edits_undo_and_redo_return_the_identical_recipe(
    session: Session, clock: Clock, seed: int
) -> None:
    random, history = Random(seed), session.history
    first = session.recipe
    states = [first]
    for _ in range(500):
        clock.now += random.choice((0.1, 0.4, 2.0))
        before = session.recipe
        session.set_recipe(random.choice(EDITS)(random, before))
        if session.recipe != before:
            states = [*states[: history.index()], session.recipe]
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            history.undo() if random.random() < 0.7 else history.redo()
    assert history.count() == len(states) - 1 > 20
    last = session.recipe
    at = history.index()
    for index in [*range(at, -1, -1), *range(history.count() + 1)]:
        history.setIndex(index)
        assert session.recipe == states[index]
        assert session.recipe.dumps() == states[index].dumps()
    history.setIndex(0)
    assert session.recipe == first
    history.setIndex(at)
    assert session.recipe == last


def test_a_knob_turned_on_and_on_within_a_moment_is_one_edit(session: Session, clock: Clock) -> None:
    for bits in (5, 6, 7):
        clock.now += MOMENT_SECONDS / 2
        session.set_default_scheme(Scheme(bits=bits))
    assert session.history.count() == 1
    assert session.history.undoText() == "bits 4 \u2192 7"
    clock.now += 2 * MOMENT_SECONDS
    session.set_default_scheme(Scheme(bits=8))
    session.set_default_scheme(Scheme(bits=8, group_size=32))
    assert session.history.count() == 3
    session.history.setIndex(0)
    assert session.recipe == Recipe()


def test_a_knob_turned_there_and_back_is_no_edit(session: Session, clock: Clock) -> None:
    session.set_default_scheme(Scheme(bits=5))
    session.set_default_scheme(Scheme())
    assert not session.history.canUndo()
    assert session.recipe == Recipe()


def test_each_step_says_what_it_is(session: Session) -> None:
    said = []
    for recipe in (
        Recipe(rules=(Rule("*.down_proj", Scheme(bits=8)),)),
        Recipe(rules=(Rule("*.down_proj", "keep"),)),
        Recipe(rules=(Rule("*.up_proj", "keep"),)),
        Recipe(),
        Recipe(ignore=("*.mlp.*",)),
        Recipe(ignore=("*.mlp.*",), format="qtquant"),
        Recipe(),
    ):
        session.set_recipe(recipe)
        said.append(session.history.undoText())
    assert said == [
        "rule for *.down_proj",
        "scheme of the rule for *.down_proj",
        "pattern *.up_proj",
        "removed rule for *.up_proj",
        "ignoring *.mlp.*",
        "format qtquant",
        "recipe",
    ]
    session.set_recipe(Recipe(format="qtquant"), "recipe of a friend")
    assert session.history.undoText() == "recipe of a friend"


def test_what_the_window_starts_with_cannot_be_undone(session: Session) -> None:
    session.set_default_scheme(Scheme(bits=3))
    session.start_recipe(Recipe(format="qtquant"))
    assert session.recipe == Recipe(format="qtquant")
    assert not session.history.canUndo()


def test_an_undone_recipe_is_planned_anew_and_told_to_all(qtbot: QtBot, session: Session) -> None:
    session.set_default_scheme(Scheme(bits=3))
    with qtbot.waitSignal(session.recipe_changed) as told:
        session.history.undo()
    assert told.args == [Recipe()]
    assert session.plan is None


def test_a_session_that_nobody_holds_is_gone_at_once(qtbot: QtBot) -> None:
    held = Session(Script())
    held.set_default_scheme(Scheme(bits=3))
    held.history.undo()
    seen = ref(held)
    del held
    assert seen() is None  # else a worker's thread might collect it, whose timers it cannot stop
