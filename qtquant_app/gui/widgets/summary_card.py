"""A checkpoint on one card: what it is, how large, of what."""

from __future__ import annotations

from PySide6.QtCore import Qt

from qtquant_app.core.quantities import bytes_text, parameters_text, plural, share_text
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.summary import Summary
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.facts import Facts
from qtquant_app.gui.widgets.packed_note import PackedNote
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Elided, Text

KIND_COLUMNS = (
    Column("Kind", lambda r: r.kind, lambda r: r.kind),
    Column("Tensors", lambda r: f"{r.tensors:,}", lambda r: r.tensors, "88,888", True),
    Column("Parameters", lambda r: parameters_text(r.parameters), lambda r: r.parameters, "888.8 M", True),
    Column("Size", lambda r: bytes_text(r.bytes), lambda r: r.bytes, "88.8 MB", True),
    Column("Share", lambda r: share_text(r.share, 1), lambda r: r.share, "100.0 %", True),
)


FACTS = (
    "Architecture",
    "Parameters",
    "Size",
    "Quantized",
    "Data types",
    "Tensors",
    "Weight files",
    "Carried over",
    "Folder",
)
LABELS = 3
"""How many ways of being quantized are named."""


class SummaryCard(Card):
    """Architecture, parameters, bytes, dtypes, files; then the tensors by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("summaryCard")
        self._label = Elided(bold=True, size=2)
        self.facts = Facts(
            FACTS,
            columns=2,
            elide=("Architecture", "Size", "Quantized", "Data types", "Carried over", "Folder"),
        )
        self.packed_note = PackedNote()
        self._note = Text(muted=True, wrap=True)
        self.note = Text(muted=True, wrap=True)
        """How much of a model on the Hub is here."""
        self.kinds = RowsModel(KIND_COLUMNS, self)
        self.kinds_table = Table(self.kinds, "kindsTable", "Tensors by kind")
        self.next_button = Button("In&spect the weights", name="toInspectButton", primary=True)
        self.add(self._label)
        self.add(self.facts)
        self.add(self._note)
        self.add(self.note)
        self.add(self.packed_note)
        self.body.addSpacing(2 * GRID)
        self.add(Text("Tensors by kind", bold=True))
        self.add(self.kinds_table, 1)
        self.body.addWidget(self.next_button, 0, Qt.AlignmentFlag.AlignRight)

    def set_label(self, label: str) -> None:
        self._label.setText(label)

    def set_summary(self, summary: Summary) -> None:
        facts = self.facts
        facts.set("Architecture", summary.architecture)
        facts.set("Parameters", parameters_text(summary.parameters))
        facts.set("Size", _size(summary))
        facts.set("Quantized", _packed(summary))
        facts.set("Data types", ", ".join(f"{name} {share_text(share, 1)}" for name, share in summary.dtypes))
        facts.set("Tensors", f"{summary.tensors:,}")
        facts.set("Weight files", _files(summary))
        facts.set("Carried over", ", ".join(summary.carried_files) or "nothing")
        facts.set("Folder", summary.place)
        self._note.setText("The weights come from pickled files; they are read without running any code in them.")
        self._note.setVisible(summary.pickled)
        self.note.setText(_fetched(summary))
        self.note.setVisible(summary.here is not None)
        self.kinds.set_rows(summary.kinds)
        self.packed_note.setVisible(bool(summary.packed))


def _fetched(summary: Summary) -> str:
    if summary.here is None:
        return ""
    far = f"{bytes_text(summary.here)} of {bytes_text(summary.all_bytes)}"
    return f"On the Hub: {far} of weight files is on this computer, and a tensor is fetched when it is looked at."


def _files(summary: Summary) -> str:
    names = summary.weight_files
    kind = "pickled" if summary.pickled else "GGUF" if all(name.endswith(".gguf") for name in names) else "safetensors"
    return plural(len(names), f"{kind} file")


def _size(summary: Summary) -> str:
    if not summary.packed:
        return bytes_text(summary.bytes)
    return f"{bytes_text(summary.stored_bytes)} stored, {bytes_text(summary.bytes)} decoded"


def _packed(summary: Summary) -> str:
    more = len(summary.packed) - LABELS
    return ", ".join((*summary.packed[:LABELS], *([f"{more:,} more"] if more > 0 else []))) or "no"
