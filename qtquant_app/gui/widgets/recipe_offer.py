"""A recipe from elsewhere, beside the one that holds: what would change, before it does."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout

from qtquant_app.core.quantities import plural
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.recipe_diff import RecipeDiff
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Elided

LINES = 4
"""So many differences show at once; the table scrolls to the others."""
COLUMNS = (
    Column("What changes", lambda line: line[1], lambda line: line[1], "*.down_proj: W4 g128 sym"),
    Column("How", lambda line: line[0], lambda line: line[0], "ignored no more"),
)


class RecipeOffer(Card):
    """Hidden until a recipe is offered; goes away once it is taken or left."""

    taken = Signal(object, str)
    """Recipe, and where it is from."""

    def __init__(self) -> None:
        super().__init__("Apply a recipe?")
        self.setObjectName("recipeOffer")
        self.recipe: Recipe | None = None
        self._origin = ""
        self.about = Elided()
        self.model = RowsModel(COLUMNS, self)
        self.table = Table(self.model, "recipeDiffTable", "What the recipe would change")
        self.take_button = Button("App&ly this recipe", name="applyRecipeButton", primary=True)
        self.leave_button = Button("&Keep mine", name="leaveRecipeButton", tip="Leaves the recipe as it is (Escape)")
        foot = QHBoxLayout()
        foot.addWidget(self.about, 1)
        foot.addWidget(self.leave_button)
        foot.addWidget(self.take_button)
        self.add(self.table)
        self.add(foot)
        self.take_button.clicked.connect(self._take)
        self.leave_button.clicked.connect(self.leave)
        escape = QShortcut(QKeySequence("Escape"), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.leave)
        self.setVisible(False)

    def offer(self, recipe: Recipe, difference: RecipeDiff, origin: str) -> None:
        """Shows what `recipe`, which comes from `origin`, would change."""
        self.recipe, self._origin = recipe, origin
        lines = difference.lines()
        self.title.setText(f"Apply the recipe from {origin}?" if len(origin) < 60 else "Apply this recipe?")
        self.about.setText(f"{plural(len(lines), 'change')}; it can be undone")
        self.model.set_rows(lines)
        self.table.setFixedHeight(self._height(len(lines)))
        self.setVisible(True)
        self.take_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def leave(self) -> None:
        """Leaves the recipe as it is."""
        self.recipe = None
        self.setVisible(False)

    def _take(self) -> None:
        recipe = self.recipe
        self.leave()
        if recipe is not None:
            self.taken.emit(recipe, self._origin)

    def _height(self, lines: int) -> int:
        rows = min(max(lines, 1), LINES)
        head = self.table.horizontalHeader().sizeHint().height() + 2 * self.table.frameWidth()
        return rows * self.table.verticalHeader().defaultSectionSize() + head
