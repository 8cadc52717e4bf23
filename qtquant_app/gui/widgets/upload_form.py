"""Where a result goes on the Hub: under whose name, into which repository and branch, for whom to see."""

from __future__ import annotations

import re
from pathlib import PurePath

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QLineEdit, QWidget

from qtquant_app.core.publication import Destination
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Text, mnemonic_safe

_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?", re.ASCII)
_BRANCH = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)


class UploadForm(QWidget):
    """A repository that is not there yet is made."""

    changed = Signal()
    base_changed = Signal()
    """The base's name on the Hub is another: the card says other things."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("uploadForm")
        self.owner = ChoiceBox()
        self.name = QLineEdit()
        self.branch = QLineEdit()
        self.base = QLineEdit()
        self.private = QCheckBox("Private")
        self.pull_request = QCheckBox("As a pull request")
        self.overwrite = QCheckBox("Replace weight files that are there")
        self._lay_out()
        for edit in (self.name, self.branch, self.base):
            edit.textChanged.connect(self.changed)
        self.base.editingFinished.connect(self.base_changed)
        for box in (self.private, self.pull_request, self.overwrite):
            box.toggled.connect(self.changed)
        self.owner.currentIndexChanged.connect(self.changed)

    @property
    def destination(self) -> Destination:
        """What was chosen. A name with a slash in it names its owner itself, for a repository of somebody else's."""
        name, owner = self.name.text().strip(), self.owner.currentData() or ""
        repo = name if "/" in name or not owner else f"{owner}/{name}"
        branch = self.branch.text().strip()
        return Destination(
            repo, "" if branch == "main" else branch, self.private.isChecked(), self.pull_request.isChecked()
        )

    @property
    def fault(self) -> str:
        """What is wrong with it, in a few words; empty where nothing is."""
        name, branch = self.name.text().strip(), self.branch.text().strip()
        if not name:
            return "give the repository a name"
        if (
            name.count("/") > 1
            or not all(_NAME.fullmatch(part) for part in name.split("/"))
            or ".." in name
            or "--" in name
        ):
            return (
                "a name has letters, digits, dots, dashes and underscores, and begins and ends with a letter or a digit"
            )
        if branch and (not _BRANCH.fullmatch(branch) or ".." in branch or branch.endswith(("/", "."))):
            return "that is no name of a branch"
        base = self.base.text().strip()
        if base and (base.count("/") != 1 or not all(_NAME.fullmatch(part) for part in base.split("/"))):
            return "what it was made from is named org/name on the Hub"
        return ""

    def show_names(self, names: tuple[str, ...]) -> None:
        """Offers the user's own name and those of organisations."""
        if names == tuple(self.owner.itemData(row) for row in range(self.owner.count())):
            return
        before = self.owner.currentData()
        with QSignalBlocker(self.owner):
            self.owner.clear()
            for name in names:
                self.owner.addItem(mnemonic_safe(name).replace("&&", "&"), name)
            self.owner.setCurrentIndex(max(0, self.owner.findData(before)) if names else -1)
        self.owner.setEnabled(bool(names))
        self.changed.emit()

    def suggest(self, folder: str) -> None:
        """Names the repository after the result's folder, where nobody has typed a name."""
        if not self.name.isModified():
            self.name.setText(re.sub(r"[^A-Za-z0-9._-]+|--+", "-", PurePath(folder).name).strip("-._")[:96])

    def set_destination(self, destination: Destination) -> None:
        """Fills everything in, such as for an upload that goes on."""
        owner, _, name = destination.repo.rpartition("/")
        at = self.owner.findData(owner)
        if at >= 0:
            self.owner.setCurrentIndex(at)
        self.name.setText(name if at >= 0 or not owner else destination.repo)
        self.name.setModified(True)
        self.branch.setText(destination.branch)
        self.private.setChecked(destination.private)
        self.pull_request.setChecked(destination.pull_request)

    def _lay_out(self) -> None:
        for widget, name, spoken in (
            (self.owner, "uploadOwner", "Under whose name"),
            (self.name, "uploadName", "Name of the repository"),
            (self.branch, "uploadBranch", "Branch"),
            (self.base, "uploadBase", "The base's name on the Hub"),
            (self.private, "uploadPrivate", "Private"),
            (self.pull_request, "uploadPullRequest", "As a pull request"),
            (self.overwrite, "uploadOverwrite", "Replace weight files that are there"),
        ):
            widget.setObjectName(name)
            widget.setAccessibleName(spoken)
        self.name.setPlaceholderText("name, or org/name")
        self.branch.setPlaceholderText("main")
        self.base.setPlaceholderText("as the result knows it, or org/name")
        self.private.setToolTip("Of a repository that is made; one that is there and public is refused")
        self.owner.setEnabled(False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(2 * GRID)
        grid.setVerticalSpacing(GRID)
        for row, words in enumerate(("Owner", "Repository", "Branch", "Made from")):
            grid.addWidget(Text(words, muted=True), row, 0)
        grid.addWidget(self.owner, 0, 1)
        grid.addWidget(self.name, 1, 1)
        grid.addWidget(self.branch, 2, 1)
        grid.addWidget(self.base, 3, 1)
        grid.addWidget(self.private, 4, 1)
        grid.addWidget(self.pull_request, 5, 1)
        grid.addWidget(self.overwrite, 6, 1)
        grid.setColumnStretch(1, 1)
