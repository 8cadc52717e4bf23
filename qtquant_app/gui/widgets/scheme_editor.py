"""The knobs of a scheme. What they say together is always a scheme that can exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QIntValidator, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QLabel, QWidget

from qtquant_app.core.errors import UsageError
from qtquant_app.core.knobs import KINDS, Knobs, kind_of, knobs_of, layout_titles, scheme_of, with_activations
from qtquant_app.core.scheme import MAX_BITS, MIN_BITS, Scheme
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox

if TYPE_CHECKING:
    from qtquant_app.quant.methods import Method

GROUP_SIZES = (16, 32, 64, 128, 256, 512)
LARGEST_GROUP = 1 << 24
FLOAT_BITS = (4, 8)
FROM_SAMPLES = " \N{MIDDLE DOT} from samples"
STRATEGIES = (
    ("tensor", "Per tensor"),
    ("channel", "Per channel"),
    ("group", "Per group"),
    ("block", "Per block of 128 x 128"),
)
ACTIVATIONS = (("none", "As they are"), ("int8", "Integer, 8 bits"), ("fp8", "Floating point, 8 bits"))


class SchemeEditor(QWidget):
    """Edits one Scheme. `prefix` makes the object names of its controls unique in the window.

    Values that contradict each other cannot be chosen: a strategy other than group disables the group size, 8-bit activations
    fix what they need, and a GGUF block is chosen by its name alone. `scheme_changed` follows each change made through the
    controls, never `set_scheme`.
    """

    scheme_changed = Signal(object)
    """Scheme"""

    def __init__(self, prefix: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._prefix = prefix
        self._methods: dict[str, type[Method] | None] = dict(_methods())
        self._scheme = Scheme()
        self._free = self._scheme
        """The last scheme without 8-bit activations: what leaving them goes back to."""
        self.type_combo = self._choice("typeCombo", "Type of the codes", KINDS)
        self.layout_combo = self._choice("layoutCombo", "GGUF block, or mixture of blocks", layout_titles())
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

    @property
    def preview_note(self) -> str:
        """What a picture made under the scheme has to say of its method; empty where it is what a run writes."""
        method = self._method(self._scheme.method)
        return "" if method is None else method.preview_note()

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
        for name in (*self._methods, *_compositions()):
            self._offer_method(name)

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Ty&pe", self.type_combo)
        form.addRow("Block", self.layout_combo)
        self._form = form
        form.addRow(_label("&Bits", self.bits_combo), _beside(self.bits_combo, self.symmetric_check))
        group = _label("&group", self.group_combo)
        form.addRow(_label("Sc&ales", self.strategy_combo), _beside(self.strategy_combo, group, self.group_combo))
        form.addRow("Met&hod", self.method_combo)
        form.addRow("Acti&vations", self.activations_combo)

    def _connect(self) -> None:
        for combo in (self.type_combo, self.layout_combo, self.bits_combo, self.strategy_combo, self.method_combo):
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
        self._change(self._worked(with_activations(self._scheme, self.activations_combo.currentData(), self._free)))

    def _edited(self) -> None:
        self._change(self._read())

    def _read(self) -> Scheme:
        """What the controls say; where they contradict each other, the one that gives way is the weaker."""
        text = self.group_combo.currentText()
        size = int(text) if text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_GROUP else self._last_group()
        knobs = Knobs(
            kind=self.type_combo.currentData(),
            bits=self.bits_combo.currentData(),
            strategy=self.strategy_combo.currentData(),
            group_size=size,
            symmetric=self.symmetric_check.isChecked(),
            method=self.method_combo.currentData(),
            layout=self.layout_combo.currentData(),
        )
        return self._worked(replace(scheme_of(knobs, self._scheme), activations=self.activations_combo.currentData()))

    def _worked(self, scheme: Scheme) -> Scheme:
        """`scheme` with the method chosen, or with the first that works for it where that one does not."""
        if self._works(scheme.method, scheme):
            return scheme
        return replace(scheme, method=next(name for name in _methods() if self._works(name, scheme)))

    def _works(self, name: str, scheme: Scheme) -> bool:
        method = self._method(name)
        return method is None or not method.refuses(scheme)

    def _method(self, name: str) -> type[Method] | None:
        """A method, several in one among them; None for a name that a recipe brought along and nobody knows."""
        if name not in self._methods:
            self._methods[name] = _found(name)
        return self._methods[name]

    def _offer_method(self, name: str) -> None:
        method = self._method(name)
        self.method_combo.addItem(_words(name, method), name)
        tip = "" if method is None else method.description
        self.method_combo.setItemData(self.method_combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)

    def _last_group(self) -> int:
        return self._scheme.group_size or GROUP_SIZES[3]

    def _change(self, scheme: Scheme) -> None:
        changed = scheme != self._scheme
        self.set_scheme(scheme)
        if changed:
            self.scheme_changed.emit(scheme)

    def _show(self) -> None:
        knobs = knobs_of(self._scheme, self._last_group())
        blockers = [QSignalBlocker(child) for child in self.findChildren(QWidget)]
        _select(self.type_combo, knobs.kind)
        _select(self.layout_combo, knobs.layout)
        _select(self.bits_combo, min(knobs.bits, MAX_BITS))
        _select(self.strategy_combo, knobs.strategy)
        if self._scheme.group_size is not None:
            self.group_combo.setCurrentIndex(self.group_combo.findData(knobs.group_size))
            self.group_combo.setEditText(str(knobs.group_size))
        self.symmetric_check.setChecked(knobs.symmetric)
        if self.method_combo.findData(knobs.method) < 0:
            self._offer_method(knobs.method)
        _select(self.method_combo, knobs.method)
        _select(self.activations_combo, self._scheme.activations)
        del blockers
        self._enable(self._scheme)

    def _enable(self, scheme: Scheme) -> None:
        kind, free = kind_of(scheme), scheme.activations == "none"
        self._form.setRowVisible(self.layout_combo, kind == "layout")
        self.type_combo.setEnabled(free)
        self.bits_combo.setEnabled(free and kind != "layout")
        self.strategy_combo.setEnabled(kind != "layout" and scheme.activations != "int8")
        self.symmetric_check.setEnabled(free and kind == "int")
        self.group_combo.setEnabled(free and kind != "layout" and scheme.strategy == "group")
        self.activations_combo.setEnabled(kind != "layout")
        for row in range(self.bits_combo.count()):
            _item(self.bits_combo, row).setEnabled(kind != "float" or self.bits_combo.itemData(row) in FLOAT_BITS)
        for row in range(self.strategy_combo.count()):
            strategy = self.strategy_combo.itemData(row)
            fp8 = scheme.activations == "fp8"
            _item(self.strategy_combo, row).setEnabled(
                not (strategy == "block" and kind != "float") and not (strategy == "group" and fp8)
            )
        for row in range(self.method_combo.count()):
            _item(self.method_combo, row).setEnabled(self._works(self.method_combo.itemData(row), scheme))


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


def _item(combo: QComboBox, row: int) -> QStandardItem:
    model = combo.model()
    assert isinstance(model, QStandardItemModel)  # what every combo box starts with
    return model.item(row)


def _methods() -> Mapping[str, type[Method]]:
    """Read when an editor is made, not with this module: what it imports belongs to the engine's side."""
    from qtquant_app.quant.methods import registry

    return registry()


def _compositions() -> tuple[str, ...]:
    from qtquant_app.quant.methods import COMPOSITIONS

    return COMPOSITIONS


def _words(name: str, method: type[Method] | None) -> str:
    """What a method is called in the list, and whether it looks at samples."""
    from qtquant_app.quant.methods import short_title

    if method is None:
        return name
    title = method.title if len(method.parts) == 1 else short_title(name)
    return f"{title}{FROM_SAMPLES}" if method.needs_calibration else title


def _found(name: str) -> type[Method] | None:
    from qtquant_app.quant.methods import find

    try:
        return find(name)
    except UsageError:
        return None
