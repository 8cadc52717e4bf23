"""Which samples methods look at: from where, how many, how long, and whether text goes through the chat template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout, QSizePolicy, QSpinBox, QWidget

from qtquant_app.core.calibration import DEFAULT, MOST_SAMPLES, MOST_TOKENS, RANDOM, Calibration
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.path_field import PathField
from qtquant_app.gui.widgets.text import Text

FILE, FOLDER, HUB = "file", "folder", "hub"
HUB_PREFIX = "hub:"
_SOURCES = {
    DEFAULT: "Python's language reference",
    FILE: "A file",
    FOLDER: "A folder",
    HUB: "A data set on the Hub",
    RANDOM: "Numbers by chance",
}
_TIPS = {
    DEFAULT: "English text that comes with Python; for images and audio, drawings and sounds made by rule",
    FILE: "Text, Markdown, JSON lines, or a table of texts or conversations",
    FOLDER: "Texts, pictures or WAV sounds; the model's own processor reads them",
    HUB: "org/name, or org/name:config:split. Nothing of it is run; needs the network",
    RANDOM: "For trials only: it tells nothing of what the model will be used for",
}
_HINTS = {FILE: "A text or JSON lines file", FOLDER: "Texts, pictures or sounds", HUB: "org/name:config:split"}
_ASK = {
    FILE: "Choose the file.",
    FOLDER: "Choose the folder.",
    HUB: "Name the data set, such as org/name or org/name:config:split.",
}
_LEAST = 20 * GRID
_AS_SUITS = -1
"""In the box for samples that the model writes itself: nothing is said of them."""
_FILES = "Texts (*.txt *.md *.jsonl *.json *.csv *.parquet);;All files (*)"


class CalibrationChoice(QWidget):
    """Edits one Calibration; `changed` follows what is done with the controls, never `set_calibration`."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._calibration = Calibration()
        self.source_combo = ChoiceBox()
        self.source_combo.setObjectName("calibrationSourceCombo")
        self.source_combo.setAccessibleName("Where the samples come from")
        for row, (name, title) in enumerate(_SOURCES.items()):
            self.source_combo.addItem(title, name)
            self.source_combo.setItemData(row, _TIPS[name], Qt.ItemDataRole.ToolTipRole)
        self.place = PathField("calibrationPlace", "The samples", folders=True, files=_FILES)
        self.samples_spin = _spin("calibrationSamplesSpin", "Samples, at most", MOST_SAMPLES)
        self.length_spin = _spin("calibrationLengthSpin", "Tokens of each sample, at most", MOST_TOKENS)
        self.length_spin.setSuffix(" tokens")
        self.own_spin = _spin(
            "calibrationOwnSpin", "Samples that the model writes itself, beside the others", MOST_SAMPLES
        )
        self.own_spin.setMinimum(_AS_SUITS)
        self.own_spin.setSpecialValueText("As many as suit the method")
        self.own_spin.setToolTip(
            "Of language models only. What is learned from one kind of text fits that kind: the model's own words hold the "
            "rest. The whole model is in memory while it writes"
        )
        self.chat_check = QCheckBox("Write text as the chat template does")
        self.chat_check.setObjectName("calibrationChatCheck")
        self.chat_check.setAccessibleName("Write text as the chat template does")
        self.chat_check.setToolTip(
            "Conversations always go through the tokenizer's chat template; plain text on request"
        )
        self._lay_out()
        self.set_calibration(self._calibration)
        self._connect()

    @property
    def calibration(self) -> Calibration | None:
        """What the controls say; None while the place is missing that `why_not` asks for."""
        source = self._source
        if not source:
            return None
        samples, length, own = (spin.value() for spin in self._spins)
        return replace(
            self._calibration,
            source=source,
            samples=samples,
            length=length,
            chat=self._chat,
            own=None if own == _AS_SUITS else own,
        )

    @property
    def why_not(self) -> str:
        """What is missing, in a sentence; empty where nothing is."""
        return "" if self._source else _ASK[self._kind]

    def set_calibration(self, calibration: Calibration) -> None:
        """Shows `calibration`, saying nothing."""
        self._calibration = calibration
        blockers = [QSignalBlocker(child) for child in (self.source_combo, self.place, *self._spins, self.chat_check)]
        kind = _kind_of(calibration.source)
        self.source_combo.setCurrentIndex(self.source_combo.findData(kind))
        if kind in _HINTS:
            self.place.set_path(calibration.source.removeprefix(HUB_PREFIX))
        self.samples_spin.setValue(calibration.samples)
        self.own_spin.setValue(_AS_SUITS if calibration.own is None else calibration.own)
        self._limit_length()
        self.length_spin.setValue(calibration.length)
        self.chat_check.setChecked(calibration.chat)
        del blockers
        self._show_place()

    @property
    def _kind(self) -> str:
        return str(self.source_combo.currentData())

    @property
    def _source(self) -> str:
        kind, place = self._kind, self.place.path
        if kind not in _HINTS:
            return kind
        named = place.removeprefix(HUB_PREFIX)
        return "" if not named else HUB_PREFIX + named if kind == HUB else place

    @property
    def _chat(self) -> bool:
        return self.chat_check.isChecked()

    @property
    def _spins(self) -> tuple[QSpinBox, QSpinBox, QSpinBox]:
        return self.samples_spin, self.length_spin, self.own_spin

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("From", self.source_combo)
        form.addRow("", self.place)
        self._form = form
        counts = QHBoxLayout()
        counts.setSpacing(2 * GRID)
        counts.addWidget(self.samples_spin, 1)
        counts.addWidget(Text("of"))
        counts.addWidget(self.length_spin, 2)
        form.addRow("Samples", counts)
        form.labelForField(counts).setBuddy(self.samples_spin)  # type: ignore[attr-defined]
        form.addRow("Own words", self.own_spin)
        form.addRow(self.chat_check)

    def _connect(self) -> None:
        self.source_combo.currentIndexChanged.connect(self._on_source)
        self.place.changed.connect(self.changed)
        self.samples_spin.valueChanged.connect(self._on_counts)
        self.own_spin.valueChanged.connect(self._on_counts)
        self.length_spin.valueChanged.connect(self.changed)
        self.chat_check.toggled.connect(self.changed)

    def _on_source(self) -> None:
        with QSignalBlocker(self.place):
            self.place.set_path("")  # a file is no folder, and neither is on the Hub
        self._show_place()
        self.changed.emit()

    def _on_counts(self) -> None:
        with QSignalBlocker(self.length_spin):
            self._limit_length()
        self.changed.emit()

    def _limit_length(self) -> None:
        """Of the samples of either kind there may be so many tokens together."""
        self.length_spin.setMaximum(MOST_TOKENS // max(self.samples_spin.value(), self.own_spin.value()))

    def _show_place(self) -> None:
        kind = self._kind
        self._form.setRowVisible(self.place, kind in _HINTS)
        self.place.edit.setPlaceholderText(_HINTS.get(kind, ""))
        self.place.file_button.setVisible(kind == FILE)
        self.place.folder_button.setVisible(kind == FOLDER)
        self.source_combo.setToolTip(_TIPS[kind])
        self.chat_check.setEnabled(kind != RANDOM)


def _kind_of(source: str) -> str:
    if source in (DEFAULT, RANDOM):
        return source
    return HUB if source.startswith(HUB_PREFIX) else FILE if Path(source).suffix else FOLDER


def _spin(name: str, spoken: str, most: int) -> QSpinBox:
    spin = QSpinBox()
    spin.setObjectName(name)
    spin.setAccessibleName(spoken)
    spin.setToolTip(spoken)
    spin.setRange(1, most)
    spin.setGroupSeparatorShown(True)
    spin.setKeyboardTracking(False)
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # room for any number would be too much
    spin.setMinimumWidth(_LEAST)
    return spin
