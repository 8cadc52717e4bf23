"""A line for a folder, a file or a Hub id: typed, chosen in a dialog, or dropped on it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button


class PathEdit(QLineEdit):
    """Takes a dropped file or folder as its path, in place of what it held."""

    dropped = Signal(str)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_path(event):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if dropped_path(event):
            event.acceptProposedAction()
        else:
            super().dragMoveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        path = dropped_path(event)
        if path:
            event.acceptProposedAction()
            self.setText(path)
            self.dropped.emit(path)
        else:
            super().dropEvent(event)


class PathField(QWidget):
    """The line, and a button for each dialog that finds what belongs into it."""

    changed = Signal(str)
    """What the line says now, without blanks around it."""

    def __init__(self, name: str, spoken: str, *, hint: str = "", folders: bool = True, files: str = "") -> None:
        """`name` begins the object names, `spoken` is what is looked for; `files` are the filters of the file dialog."""
        super().__init__()
        self._spoken, self._filters = spoken, files
        self.edit = PathEdit()
        self.edit.setObjectName(f"{name}Edit")
        self.edit.setAccessibleName(spoken)
        self.edit.setPlaceholderText(hint)
        self.folder_button = Button("Folder…", name=f"{name}FolderButton", tip=f"{spoken}: chooses a folder")
        self.folder_button.setAccessibleName(f"{spoken}: choose a folder")
        self.file_button = Button("File…", name=f"{name}FileButton", tip=f"{spoken}: chooses a file")
        self.file_button.setAccessibleName(f"{spoken}: choose a file")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(GRID)
        line.addWidget(self.edit, 1)
        line.addWidget(self.folder_button)
        line.addWidget(self.file_button)
        self.folder_button.setVisible(folders)
        self.file_button.setVisible(bool(files))
        self.edit.textChanged.connect(lambda: self.changed.emit(self.path))
        self.folder_button.clicked.connect(self.choose_folder)
        self.file_button.clicked.connect(self.choose_file)

    @property
    def path(self) -> str:
        return self.edit.text().strip()

    def set_path(self, path: str) -> None:
        self.edit.setText(path)

    def choose_folder(self) -> None:
        """Asks for a folder; none chosen keeps what there is."""
        path = QFileDialog.getExistingDirectory(self, self._spoken, self.path)
        if path:
            self.set_path(path)

    def choose_file(self) -> None:
        """Asks for a file; none chosen keeps what there is."""
        path, _ = QFileDialog.getOpenFileName(self, self._spoken, self.path, self._filters)
        if path:
            self.set_path(path)


def dropped_path(event: QDropEvent) -> str:
    """The one local file or folder that is dropped; empty for anything else."""
    urls = event.mimeData().urls()
    return urls[0].toLocalFile() if len(urls) == 1 else ""
