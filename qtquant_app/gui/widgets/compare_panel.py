"""Any number of schemes beside each other, over the tensors chosen in the tree."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QTabWidget, QVBoxLayout, QWidget

from qtquant_app.core.matrix import part_of
from qtquant_app.core.quantities import plural
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.comparer import Comparer, Key
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.models.compare_table import COMMON, COMPARE_COLUMNS, SchemeRow
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.plots.curves import ChannelErrorPlot, ErrorHistogramPlot
from qtquant_app.gui.sample_needs import start_note
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.pair_view import PairView
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Elided, tip_text

NO_TENSOR = "Choose one tensor or several on the left: schemes are compared over them."
NO_SCHEMES = "Add the scheme of the knobs, or the common ones, to compare them."


class ComparePanel(QWidget):
    """Measures each scheme of its list once, while it shows; two of them can be pinned and seen as maps."""

    def __init__(self, session: Session, inspection: Inspection, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("comparePanel")
        self.setAccessibleName("Compare schemes")
        self._session, self._inspection = session, inspection
        self._schemes: list[Scheme] = []
        self._pins: dict[str, Scheme] = {}
        self._format = session.recipe.format
        self.comparer = Comparer(session.verbs, self)
        self.subject = Elided(bold=True)
        self.status = Elided(muted=True, mode=Qt.TextElideMode.ElideRight)
        self.model = RowsModel(COMPARE_COLUMNS, self)
        self.table = Table(self.model, "compareTable", "Schemes compared")
        self.knobs_button = Button("Add the &knobs' scheme", name="addKnobsSchemeButton")
        self.common_button = Button("Add &common ones", name="addCommonSchemesButton")
        self.remove_button = Button("Remove", name="removeSchemeButton", tip="Takes the chosen schemes off (Delete)")
        self.stop_button = Button("&Stop", name="stopComparingButton")
        self.pin_buttons = {
            pin: Button(
                f"Pin as {pin}", name=f"pin{pin}Button", tip=f"Shows the chosen scheme as map {pin} (key {pin})"
            )
            for pin in "AB"
        }
        self.tabs = QTabWidget()
        self.histogram = ErrorHistogramPlot()
        self.channels = ChannelErrorPlot()
        self.pair = PairView(session, inspection)
        self._lay_out()
        self._connect()
        self._refresh()

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The list, in the order in which they were added."""
        return tuple(self._schemes)

    @property
    def pins(self) -> dict[str, Scheme]:
        """The schemes pinned as A and B."""
        return dict(self._pins)

    @property
    def complete(self) -> bool:
        """Whether every scheme of the list has its figures."""
        return bool(self._schemes and self.layers()) and all(row.found is not None for row in self.rows())

    def rows(self) -> list[SchemeRow]:
        """What the table shows, in the order of the list."""
        return [
            SchemeRow(
                scheme,
                " ".join(pin for pin in "AB" if self._pins.get(pin) == scheme),
                self.comparer.figures(self._key(scheme)),
                self.comparer.why_not(self._key(scheme)),
            )
            for scheme in self._schemes
        ]

    def layers(self) -> tuple[str, ...]:
        """The tensors that are compared: those chosen in the tree; the slice looked at, where it is only one."""
        chosen, part = self._inspection.chosen, self._inspection.part
        if len(chosen) > 1:
            return chosen
        return (part,) if part and (not chosen or part_of(part)[0] == chosen[0] or part == chosen[0]) else chosen

    def add(self, *schemes: Scheme) -> None:
        """Puts schemes on the list that are not on it yet."""
        self._schemes += [scheme for scheme in dict.fromkeys(schemes) if scheme not in self._schemes]
        self._pins = self._pins or dict(zip("AB", self._schemes, strict=False))
        if len(self._pins) == 1 and len(self._schemes) > 1:
            self._pins["B"] = next(scheme for scheme in self._schemes if scheme != self._pins["A"])
        self.comparer.go_on()
        self._draw()
        self._later()

    def remove(self) -> None:
        """Takes the chosen schemes off the list."""
        gone = {row.scheme for row in self._chosen()}
        self._schemes = [scheme for scheme in self._schemes if scheme not in gone]
        self._pins = {pin: scheme for pin, scheme in self._pins.items() if scheme not in gone}
        self._draw()
        self._later()

    def pin(self, pin: str) -> None:
        """Pins the chosen scheme as `pin`, "A" or "B"."""
        chosen = self._chosen()
        if chosen:
            self._pins[pin] = chosen[0].scheme
            self._draw()

    def stop(self) -> None:
        """Ends the measuring, or goes on with it."""
        if self.comparer.busy:
            self.comparer.stop()
        else:
            self.comparer.go_on()
            self._later()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._later()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.comparer.rest()

    def _lay_out(self) -> None:
        self.status.setObjectName("compareStatus")
        narrow = ("W4 g128 asym mse", "A B", "88.8 MB *", "8.888", "88.88 dB", "0.8888 %", "0.08888")
        self.table.set_narrow(dict(enumerate(narrow)))
        self.tabs.setObjectName("compareTabs")
        self.tabs.setAccessibleName("How the schemes are shown")
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self.histogram, "Error histogram")
        self.tabs.addTab(self.channels, "Error by channel")
        for title, view in (("Side by side", self.pair.side), ("Difference", self.pair.difference)):
            self.tabs.addTab(self.pair.page(view), title)
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.subject, 1)
        for button in (self.knobs_button, self.common_button):
            head.addWidget(button)
        foot.addWidget(self.status, 1)
        foot.addWidget(self.stop_button)
        for button in (*self.pin_buttons.values(), self.remove_button):
            foot.addWidget(button)
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(head)
        column.addWidget(self.table, 1)
        column.addLayout(foot)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setObjectName("compareSplitter")
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(upper)
        splitter.addWidget(self.tabs)
        splitter.setSizes([250, 400])
        splitter.setStretchFactor(1, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(splitter)

    def _connect(self) -> None:
        self._session.checkpoint_changed.connect(self._forget)
        self._session.statistics_changed.connect(self._forget)
        self._session.recipe_changed.connect(self._take_recipe)
        for signal in (self._inspection.part_changed, self._inspection.chosen_changed):
            signal.connect(self._look_again)
        self._inspection.scheme_changed.connect(self._refresh)
        self.comparer.found.connect(self._take)
        self.comparer.changed.connect(self._refresh)
        self.table.selectionModel().selectionChanged.connect(self._refresh)
        self.knobs_button.clicked.connect(lambda: self.add(self._inspection.scheme))
        self.common_button.clicked.connect(lambda: self.add(*COMMON))
        self.remove_button.clicked.connect(self.remove)
        self.stop_button.clicked.connect(self.stop)
        shortcuts = {
            Qt.Key.Key_Delete: self.remove,
            Qt.Key.Key_A: lambda: self.pin("A"),
            Qt.Key.Key_B: lambda: self.pin("B"),
        }
        for key, action in shortcuts.items():
            shortcut = QShortcut(QKeySequence(key), self.table, context=Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(action)
        for pin, button in self.pin_buttons.items():
            button.clicked.connect(lambda _=False, pin=pin: self.pin(pin))

    def _chosen(self) -> list[SchemeRow]:
        return [self.model.row(index.row()) for index in self.table.selectionModel().selectedRows()]

    def _key(self, scheme: Scheme) -> Key:
        return self.layers(), scheme, self._format

    def _forget(self) -> None:
        """Figures are of one checkpoint; the list of schemes stays."""
        self.comparer.forget()
        self._look_again()

    def _take_recipe(self, recipe: Recipe) -> None:
        """Only the format matters here: whose bytes are counted."""
        if recipe.format != self._format:
            self._format = recipe.format
            self._look_again()

    def _look_again(self) -> None:
        self.comparer.go_on()
        self._draw()
        self._later()

    def _take(self) -> None:
        self._draw()
        self._later()

    def _later(self) -> None:
        """Asks for the figures that are missing, if anybody sees it."""
        if self.isVisible():
            keys = tuple(self._key(scheme) for scheme in self._schemes) if self.layers() else ()
            self.comparer.want(self._session.checkpoint, keys)
        self._refresh()

    def _draw(self) -> None:
        """Table and plots as things are, the chosen schemes still chosen."""
        chosen = {row.scheme for row in self._chosen()}
        rows = self.rows()
        self.model.set_rows(rows)
        flags = QItemSelectionModel.SelectionFlag
        for at in range(self.model.rowCount()):
            if self.model.row(at).scheme in chosen:
                self.table.selectionModel().select(self.model.index(at, 0), flags.Select | flags.Rows)
        measured = {row.scheme.label: row.found for row in rows if row.found is not None}
        self.histogram.draw({label: found.error_histogram for label, found in measured.items()})
        self.channels.draw({label: found.channels for label, found in measured.items()})
        self.pair.set_schemes(self._pins.get("A"), self._pins.get("B"))
        self._refresh()

    def _refresh(self) -> None:
        """Says how things stand, and which buttons have something to do."""
        layers, chosen = self.layers(), self._chosen()
        self.subject.setText(layers[0] if len(layers) == 1 else plural(len(layers), "tensor") if layers else "")
        for plot in (self.histogram, self.channels):
            plot.subject = self.subject.full_text()
        self.table.set_empty_text(NO_SCHEMES if layers else NO_TENSOR)
        busy = self.comparer.busy
        said = (self.comparer.text(layers), start_note(self._schemes)) if self._schemes else ()
        self.status.setText("; ".join(filter(None, said)))
        self.stop_button.setText("&Stop" if busy else "Mea&sure")
        self.stop_button.setAccessibleName("Stop measuring" if busy else "Measure the schemes without figures")
        self.stop_button.setVisible(busy or self.comparer.stopped)
        self.knobs_button.setEnabled(self._inspection.scheme not in self._schemes)
        self.knobs_button.setToolTip(tip_text(f"Adds {self._inspection.scheme.label}"))
        self.common_button.setEnabled(any(scheme not in self._schemes for scheme in COMMON))
        self.remove_button.setEnabled(bool(chosen))
        for button in self.pin_buttons.values():
            button.setEnabled(len(chosen) == 1)
