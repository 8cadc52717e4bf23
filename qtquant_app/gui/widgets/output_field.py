"""Where the result goes: a folder that is looked at, in a worker, before anything is written to it."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from qtquant_app.core.quantities import bytes_text
from qtquant_app.gui.hints import REPLACE, RESUME
from qtquant_app.gui.output_state import OutputState, Place, look_at
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

REST_MS = 200


class OutputField(QWidget):
    """The output folder, what stands there, and what to do about it."""

    changed = Signal()
    """The folder, what is known of it, or a choice about it changed."""
    edited = Signal(str)
    """A person chose this folder."""

    def __init__(self) -> None:
        super().__init__()
        self.edit = QLineEdit()
        self.browse_button = Button("&Browse…", "open", name="browseOutputButton", tip="Chooses the output folder")
        self.resume_check = QCheckBox(RESUME)
        self.replace_check = QCheckBox(REPLACE)
        self.note = Text(muted=True, wrap=True)
        self._state: OutputState | None = None
        self._needed = 0
        self._taken: frozenset[str] = frozenset()
        self._looker = Latest(self)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._name()
        self._lay_out()
        self._looker.result.connect(self._on_seen)
        self._rest.timeout.connect(self.look)
        self.edit.textEdited.connect(self.edited)
        self.edit.textChanged.connect(self._on_text)
        self.browse_button.clicked.connect(self._browse)
        self.resume_check.toggled.connect(self.changed)
        self.replace_check.toggled.connect(self._on_replace)

    @property
    def path(self) -> str:
        return self.edit.text().strip()

    @property
    def resume(self) -> bool:
        """Whether to go on with the unfinished run that is there."""
        return self._unfinished and self.resume_check.isChecked()

    @property
    def overwrite(self) -> bool:
        """Whether what stands there may be replaced: a result by choice, or an unfinished run."""
        replace = self._place is Place.OURS and self.replace_check.isChecked()
        return replace or (self._unfinished and not self.resume)

    @property
    def known(self) -> bool:
        """Whether what stands at the folder has been looked at."""
        return bool(self.path) and self._state is not None and self._state.path == self.path

    @property
    def ready(self) -> bool:
        """Whether a run may start here, as far as is known."""
        if not self.known or self._is_taken:
            return False
        free = self._place is Place.FREE or (self._place is Place.OURS and self.replace_check.isChecked())
        return free and not self._too_small()

    def set_path(self, path: str) -> None:
        """Shows `path` and looks at it."""
        if path != self.path:
            self.edit.setText(path)

    def set_needed(self, needed: int) -> None:
        """Bytes the result takes on disk."""
        self._needed = needed
        self._describe()

    def set_taken(self, folders: frozenset[str]) -> None:
        """Where jobs that are not over will write: no other may."""
        if folders != self._taken:
            self._taken = folders
            self._describe()

    def settle(self) -> None:
        """A run has ended here: what stands there is another thing now, and what may be replaced is to be said anew."""
        self._state = None
        self.replace_check.setChecked(False)
        self.look()

    def look(self) -> None:
        """Looks, in a worker, at what stands at the folder."""
        self._rest.stop()
        path = self.path
        if path:
            self._looker.submit(once(lambda: look_at(path)))

    @property
    def _is_taken(self) -> bool:
        return self.path in self._taken

    @property
    def _place(self) -> Place:
        return self._state.place if self._state else Place.FREE

    @property
    def _unfinished(self) -> bool:
        return self._state is not None and self._state.unfinished

    def _too_small(self) -> bool:
        free = self._state.free_bytes if self._state else None
        return free is not None and not self._unfinished and free < self._needed

    def _name(self) -> None:
        self.edit.setObjectName("outputEdit")
        self.edit.setAccessibleName("Output folder")
        self.edit.setPlaceholderText("The folder to write; it is made when the run starts")
        self.resume_check.setObjectName("resumeCheck")
        self.replace_check.setObjectName("replaceCheck")
        self.resume_check.setAccessibleName(RESUME)
        self.replace_check.setAccessibleName(REPLACE)
        self.resume_check.setChecked(True)
        self.note.setObjectName("outputNote")

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.edit, 1)
        line.addWidget(self.browse_button)
        choices = QHBoxLayout()
        choices.setSpacing(4 * GRID)
        choices.addWidget(self.note, 1)
        choices.addWidget(self.resume_check)
        choices.addWidget(self.replace_check)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(line)
        layout.addLayout(choices)
        self.setFocusProxy(self.edit)
        self._describe()

    def _browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Choose the output folder", self.path)
        if path:
            self.edit.setText(path)
            self.edited.emit(path)

    def _on_text(self) -> None:
        self._state = None
        self.replace_check.setChecked(False)
        self._describe()
        self._rest.start()
        self.changed.emit()

    def _on_seen(self, state: OutputState) -> None:
        if state.path == self.path:
            self._state = state
            self._describe()
            self.changed.emit()

    def _on_replace(self) -> None:
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        self.resume_check.setVisible(self._unfinished and not self._is_taken)
        self.replace_check.setVisible(self._place is Place.OURS and not self._is_taken)
        text, tone = self._words()
        self.note.setText(text)
        self.note.set_tone(tone)

    def _words(self) -> tuple[str, str]:
        if not self.path:
            return "Choose the folder to write.", "muted"
        if self._is_taken:
            return "A job of the list below writes here: choose another folder for the next.", "muted"
        if self._state is None:
            return "Looking…", "muted"
        if self._place is Place.FOREIGN:
            return "This exists and was not written by QtQuant: choose another folder.", "bad"
        if self._too_small():
            return f"{self._room()}: choose another drive.", "bad"
        if self._place is Place.OURS and not self.replace_check.isChecked():
            return "This folder holds a result: replace it, or choose another.", "warn"
        if self._unfinished:
            return "An unfinished run lies here.", "warn"
        return f"{self._room()}.", "muted"

    def _room(self) -> str:
        free = self._state.free_bytes if self._state else None
        needs = f"Takes {bytes_text(self._needed)}" if self._needed else "Nothing is there yet"
        return needs if free is None else f"{needs}; {bytes_text(free)} free"
