"""Undo and redo of everything that changes the recipe."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from weakref import ReferenceType, ref

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.recipe_diff import edit_place, edit_text

MOMENT_SECONDS = 1.0
"""A knob turned on within so short a time is one edit."""
_EDIT = 1


class RecipeHistory(QUndoStack):
    """Every recipe there was, and what each edit was called."""

    taken = Signal(object)
    """Recipe: the one that holds from now on."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.clock: Callable[[], float] = monotonic

    def edit(self, before: Recipe, after: Recipe, text: str = "") -> None:
        """Makes `after` of `before`; `text` says in a few words what that is, where the recipes do not say it best."""
        self.push(_Edit(ref(self), before, after, self.clock(), text))

    def step(self) -> tuple[Recipe, Recipe] | None:
        """What undo would undo: the recipe before the step and after it; None where there is none."""
        newest = self.command(self.index() - 1) if self.index() else None
        return (newest.before, newest.after) if isinstance(newest, _Edit) else None


class _Edit(QUndoCommand):
    """One step. It holds the history weakly: what stands in a circle may be taken down in a worker, and its timers not stopped."""

    def __init__(
        self, history: ReferenceType[RecipeHistory], before: Recipe, after: Recipe, when: float, text: str
    ) -> None:
        super().__init__(text or edit_text(before, after))
        self.before, self.after = before, after
        self.when = when
        self.place = "" if text else edit_place(before, after)
        self._history = history

    def undo(self) -> None:
        self._take(self.before)

    def redo(self) -> None:
        self._take(self.after)

    def _take(self, recipe: Recipe) -> None:
        history = self._history()
        if history is not None:
            history.taken.emit(recipe)

    def id(self) -> int:
        return _EDIT

    def mergeWith(self, other: QUndoCommand) -> bool:
        """One knob turned on and on within a moment is one edit; where it ends up where it was, it is none."""
        if not isinstance(other, _Edit) or not self.place or other.place != self.place:
            return False
        if other.when - self.when > MOMENT_SECONDS:
            return False
        self.after, self.when = other.after, other.when
        self.setText(edit_text(self.before, self.after))
        self.setObsolete(self.before == self.after)
        return True
