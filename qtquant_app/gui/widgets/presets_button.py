"""The button whose menu holds the presets: ready recipes, and the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QInputDialog, QLineEdit, QMenu, QMessageBox

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.escaping import visible_lines
from qtquant_app.core.preset import Preset
from qtquant_app.core.recipe import Recipe
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import mnemonic_safe, plain_tip
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.presets import Listed


class PresetsButton(Button):
    """Titles with what a weight takes; for whom each is, what it costs and who loads it stand in its tool tip."""

    def __init__(self, session: Session) -> None:
        super().__init__("Presets", "recipe", name="presetsButton", tip="Ready recipes, and your own")
        self._session = session
        self._listed: tuple[Listed, ...] = ()
        self._reader, self._fitter, self._writer = Latest(self), Latest(self), Latest(self)
        self._title = ""
        menu = QMenu("Presets", self)
        menu.setObjectName("presetsMenu")
        menu.setAccessibleName("Presets")
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)
        self._reader.result.connect(self._on_listed)
        self._fitter.result.connect(self._on_fitted)
        self._writer.result.connect(self._on_written)
        self._writer.failed.connect(self._on_not_written)
        for latest in (self._reader, self._fitter):
            latest.failed.connect(session.report_error)

    def load(self) -> None:
        """Reads the presets in a worker."""
        self._reader.submit(self._session.verbs.presets())

    def presets(self) -> tuple[Listed, ...]:
        """Those that were read last."""
        return self._listed

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._listed:
            self.load()

    def choose(self, preset: Preset) -> None:
        """Makes the preset the session's recipe, fitted to the checkpoint in a worker."""
        self._title = preset.title
        self._fitter.submit(self._session.verbs.preset_recipe(preset, self._session.checkpoint))

    def save(self, title: str, *, replace: bool = False) -> None:
        """Keeps the session's recipe as a preset called `title`."""
        self._title = title
        self._writer.submit(self._session.verbs.save_preset(title, self._session.recipe, (), replace))

    def delete(self, name: str) -> None:
        """Removes a preset of the user's, without asking."""
        self._writer.submit(self._session.verbs.delete_preset(name))

    def _fill(self) -> None:
        menu = self.menu()
        menu.clear()
        shipped = [entry for entry in self._listed if entry.preset is not None and not entry.preset.own]
        own = [entry for entry in self._listed if entry not in shipped]
        self._add(menu, shipped)
        if own:
            menu.addSection("Your own")
            self._add(menu, own)
        if not self._listed:
            menu.addAction("Being read…").setEnabled(False)
        menu.addSeparator()
        keep = menu.addAction("&Save the current recipe as a preset…")
        keep.triggered.connect(self._ask_title)
        deleting = menu.addMenu("&Delete")
        deleting.setEnabled(bool(own))
        for entry in own:
            if entry.preset is not None:
                gone = deleting.addAction(f"{mnemonic_safe(entry.preset.title)}…")
                gone.triggered.connect(lambda _checked=False, preset=entry.preset: self._ask_delete(preset))

    def _add(self, menu: QMenu, entries: Sequence[Listed]) -> None:
        for entry in entries:
            preset = entry.preset
            action = menu.addAction(_line(entry))
            reason = entry.reason or self._why_not_now(preset)
            action.setEnabled(not reason and preset is not None)
            tip = [reason] if reason else []
            if preset is not None:
                tip += [preset.audience, preset.cost, _readers(entry)]
            _describe(action, " ".join(part for part in tip if part))
            if preset is not None:
                action.triggered.connect(lambda _checked=False, preset=preset: self.choose(preset))

    def _why_not_now(self, preset: Preset | None) -> str:
        if preset is not None and preset.needs_checkpoint and self._session.checkpoint is None:
            return "Open a checkpoint first: this preset names layers."
        return ""

    def _ask_title(self) -> None:
        title, agreed = QInputDialog.getText(
            self, "Save as a preset", "What is the preset to be called?", QLineEdit.EchoMode.Normal, self._title
        )
        if agreed and title.strip():
            self.save(title)

    def _ask_delete(self, preset: Preset) -> None:
        if self.agreed(f"Delete the preset {preset.title}? This cannot be undone."):
            self.delete(preset.name)

    def agreed(self, question: str) -> bool:
        """Asks before what cannot be undone."""
        answer = QMessageBox.question(self, "Presets", question)
        return answer == QMessageBox.StandardButton.Yes

    def _on_listed(self, listed: tuple[Listed, ...]) -> None:
        self._listed = listed

    def _on_fitted(self, recipe: Recipe) -> None:
        self._session.set_recipe(recipe, f"Preset {self._title}")
        self._session.message.emit(f"The recipe is the preset {self._title}", "")

    def _on_written(self, outcome: Preset | str) -> None:
        done = f"Saved the preset {outcome.title}" if isinstance(outcome, Preset) else f"Deleted the preset {outcome}"
        self._session.message.emit(done, "")
        self.load()

    def _on_not_written(self, error: QtQuantError) -> None:
        if error.code != "preset-exists":
            self._session.report_error(error)
        elif self.agreed(f"You have a preset called {self._title} already. Replace it? This cannot be undone."):
            self.save(self._title, replace=True)


def _line(entry: Listed) -> str:
    if entry.preset is None:
        return mnemonic_safe(entry.name)
    bits = entry.preset.bits_per_weight
    return mnemonic_safe(entry.preset.title) + (f"\t{bits:g} bits" if bits else "")


def _readers(entry: Listed) -> str:
    readers = entry.to_json()["readers"]
    return f"Loaded by {', '.join(readers)}." if readers else ""


def _describe(action: QAction, text: str) -> None:
    action.setToolTip(plain_tip(text))
    action.setStatusTip(visible_lines(text))
