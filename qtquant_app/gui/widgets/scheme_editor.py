"""The knobs of a scheme. What they say together is always a scheme that can exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QIntValidator, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QLabel, QWidget

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import MAX_BITS, MIN_BITS, Scheme, Strategy
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import tip_text

if TYPE_CHECKING:
    from qtquant_app.quant.methods import Method

GROUP_SIZES = (16, 32, 64, 128, 256, 512)
LARGEST_GROUP = 1 << 24
INT8_ACTIVATIONS = Scheme(bits=8, strategy="channel", group_size=None, activations="int8")
"""The scheme that 8-bit activations ask for; its own activations and method aside, nothing in it is free."""

TYPES = (("int", "Integer"), ("float", "Floating point"))
STRATEGIES = (("tensor", "Per tensor"), ("channel", "Per channel"), ("group", "Per group"))
ACTIVATIONS = (("none", "As they are"), ("int8", "Integer, 8 bits"), ("fp8", "Floating point, 8 bits"))


class SchemeEditor(QWidget):
    """Edits one Scheme. `prefix` makes the object names of its controls unique in the window.

    Values that contradict each other cannot be chosen: a strategy other than group disables the group size, and
    8-bit activations fix what they need. `scheme_changed` follows each change made through the controls, never
    `set_scheme`.
    """

    scheme_changed = Signal(object)
    """Scheme"""

    def __init__(self, prefix: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._prefix = prefix
        self._methods = _methods()
        self._scheme = Scheme()
        self._free = self._scheme
        """The last scheme without 8-bit activations: what leaving them goes back to."""
        self.type_combo = self._choice("typeCombo", "Type of the codes", TYPES)
        self.bits_combo = self._choice(
            "bitsCombo", "Bits of a code", [(n, str(n)) for n in range(MIN_BITS, MAX_BITS + 1)]
        )
        self.strategy_combo = self._choice("strategyCombo", "What shares a scale", STRATEGIES)
        self.group_combo = self._choice("groupSizeCombo", "Group size in columns", [(n, str(n)) for n in GROUP_SIZES])
        self.symmetric_check = QCheckBox("S&ymmetric")
        self.method_combo = self._choice("methodCombo", "Method that finds the scales", ())
        self.activations_combo = self._choice("activationsCombo", "Activations", ACTIVATIONS)
        self._prepare()
        self._lay_out()
        self._show()
        self._connect()

    @property
    def scheme(self) -> Scheme:
        return self._scheme

    def set_scheme(self, scheme: Scheme) -> None:
        """Shows `scheme`, saying nothing."""
        self._scheme = scheme
        if scheme.activations == "none":
            self._free = scheme
        self._show()

    def _name(self, name: str) -> str:
        return self._prefix + name[0].upper() + name[1:] if self._prefix else name

    def _choice(self, name: str, spoken: str, items: Iterable[tuple[Any, str]]) -> ChoiceBox:
        combo = ChoiceBox()
        combo.setObjectName(self._name(name))
        combo.setAccessibleName(spoken)
        for value, text in items:
            combo.addItem(text, value)
        return combo

    def _prepare(self) -> None:
        self.symmetric_check.setObjectName(self._name("symmetricCheck"))
        self.symmetric_check.setAccessibleName("Symmetric")
        self.symmetric_check.setToolTip("Symmetric: the levels lie around zero, and no zero points are stored")
        self.group_combo.setEditable(True)
        self.group_combo.setMinimumContentsLength(3)
        self.group_combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.group_combo.setCompleter(None)  # type: ignore[arg-type]  # None switches completion off
        self.group_combo.setValidator(QIntValidator(1, LARGEST_GROUP, self))
        self.group_combo.setToolTip("Columns that share a scale; any number may be typed")
        for row, method in enumerate(self._methods.values()):
            self.method_combo.addItem(method.title, method.name)
            self.method_combo.setItemData(row, method.description, Qt.ItemDataRole.ToolTipRole)
        _disable_missing(self.type_combo, "type")
        _disable_missing(self.activations_combo, "activations")

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Ty&pe", self.type_combo)
        form.addRow(_label("&Bits", self.bits_combo), _beside(self.bits_combo, self.symmetric_check))
        group = _label("&group", self.group_combo)
        form.addRow(_label("Sc&ales", self.strategy_combo), _beside(self.strategy_combo, group, self.group_combo))
        form.addRow("Met&hod", self.method_combo)
        form.addRow("Acti&vations", self.activations_combo)

    def _connect(self) -> None:
        for combo in (self.type_combo, self.bits_combo, self.strategy_combo, self.method_combo):
            combo.currentIndexChanged.connect(self._edited)
        self.symmetric_check.toggled.connect(self._edited)
        self.activations_combo.currentIndexChanged.connect(self._activations_edited)
        self.group_combo.currentTextChanged.connect(self._group_edited)
        line = self.group_combo.lineEdit()
        if line is not None:
            line.editingFinished.connect(self._edited)

    def _group_edited(self) -> None:
        line = self.group_combo.lineEdit()
        if line is None or not line.isModified():  # half a number being typed is not yet a choice
            self._edited()

    def _activations_edited(self) -> None:
        wanted = self.activations_combo.currentData()
        target = self._free if wanted == "none" else replace(INT8_ACTIVATIONS, method=self._scheme.method)
        self._change(target)

    def _edited(self) -> None:
        self._change(self._read())

    def _read(self) -> Scheme:
        """What the controls say; where they contradict each other, the one that gives way is the weaker."""
        strategy = self.strategy_combo.currentData()
        text = self.group_combo.currentText()
        size = int(text) if text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_GROUP else self._last_group()
        return Scheme(
            bits=self.bits_combo.currentData(),
            type=self.type_combo.currentData(),
            strategy=strategy,
            group_size=size if strategy == "group" else None,
            symmetric=self.symmetric_check.isChecked(),
            method=self._working_method(strategy),
            activations=self.activations_combo.currentData(),
        )

    def _working_method(self, strategy: Strategy) -> str:
        """The method chosen, or the first that works with `strategy` where that one does not."""
        chosen: str = self.method_combo.currentData()
        method = self._methods.get(chosen)
        if method is None or strategy in method.strategies:
            return chosen
        return next(name for name, other in self._methods.items() if strategy in other.strategies)

    def _last_group(self) -> int:
        return self._scheme.group_size or GROUP_SIZES[3]

    def _change(self, scheme: Scheme) -> None:
        changed = scheme != self._scheme
        self.set_scheme(scheme)
        if changed:
            self.scheme_changed.emit(scheme)

    def _show(self) -> None:
        scheme = self._scheme
        blockers = [QSignalBlocker(child) for child in self.findChildren(QWidget)]
        _select(self.type_combo, scheme.type)
        _select(self.bits_combo, scheme.bits)
        _select(self.strategy_combo, scheme.strategy)
        if scheme.group_size is not None:
            self.group_combo.setCurrentIndex(self.group_combo.findData(scheme.group_size))
            self.group_combo.setEditText(str(scheme.group_size))
        self.symmetric_check.setChecked(scheme.symmetric)
        _select(self.method_combo, scheme.method)
        _select(self.activations_combo, scheme.activations)
        del blockers
        self._enable(scheme)

    def _enable(self, scheme: Scheme) -> None:
        free = scheme.activations == "none"
        for control in (self.type_combo, self.bits_combo, self.strategy_combo, self.symmetric_check):
            control.setEnabled(free)
        self.group_combo.setEnabled(free and scheme.strategy == "group")
        for row, method in enumerate(self._methods.values()):
            _item(self.method_combo, row).setEnabled(scheme.strategy in method.strategies)


def _label(text: str, control: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(control)
    return label


def _beside(*widgets: QWidget) -> QHBoxLayout:
    """Knobs that share a row: what they say belongs together, and the figures below need the height."""
    row = QHBoxLayout()
    row.setSpacing(2 * GRID)
    for widget in widgets:
        row.addWidget(widget, 0 if isinstance(widget, QLabel) else 1 if widget is widgets[-1] else 2)
    return row


def _select(combo: QComboBox, value: object) -> None:
    """Chooses the row of `value`, adding one for a value that a recipe brought along."""
    row = combo.findData(value)
    if row < 0:
        combo.addItem(str(value), value)
        row = combo.count() - 1
    combo.setCurrentIndex(row)


def _disable_missing(combo: QComboBox, key: str) -> None:
    """Greys out the values that no scheme may have in this version, each with its reason."""
    for row in range(combo.count()):
        try:
            replace(INT8_ACTIVATIONS, **{key: combo.itemData(row)})
        except UsageError as error:
            _item(combo, row).setEnabled(False)
            combo.setItemData(row, tip_text(error.message), Qt.ItemDataRole.ToolTipRole)


def _item(combo: QComboBox, row: int) -> QStandardItem:
    model = combo.model()
    assert isinstance(model, QStandardItemModel)  # what every combo box starts with
    return model.item(row)


def _methods() -> Mapping[str, type[Method]]:
    """Read when an editor is made, not with this module: what it imports belongs to the engine's side."""
    from qtquant_app.quant.methods import registry

    return registry()
