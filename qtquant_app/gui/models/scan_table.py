"""Tensors by schemes: one row a tensor, and for each scheme of a scan its SQNR."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QColor, QPalette

from qtquant_app.core.quantities import NOTHING, decibels, shape_text
from qtquant_app.core.scan import TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.export import Numbers
from qtquant_app.gui.models.flags import GLYPH, flag_words
from qtquant_app.gui.models.measures import SQNR
from qtquant_app.gui.models.rows import Column, Index, RowsModel
from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.theme import mixed

TINT = 0.32
"""How much of a cell's background is the colour of the map; the figure on it stays legible."""
ABSENT = -inf
"""The sort key of what is not known: last, whichever way a column is sorted."""


class ScanTable(RowsModel):
    """Rows are numbers of tensors of a Digest."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(_columns(lambda: None, ()), parent)
        self._digest: Digest | None = None
        self._tints: dict[int, QColor] = {}
        self._palette: tuple[QColor, Theme] | None = None

    @property
    def digest(self) -> Digest | None:
        return self._digest

    def take(self, digest: Digest | None) -> bool:
        """Shows `digest`; True where rows or columns are others than before, False where only figures came in."""
        before, self._digest = self._digest, digest
        schemes = digest.schemes if digest else ()
        if before and digest and before.grid is digest.grid and before.schemes == schemes:
            if self._sorted_by[0] > 0:  # names stay where they are
                super().sort(*self._sorted_by)
            last = self.index(len(self._rows) - 1, len(self.columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
            return False
        self.beginResetModel()
        if before is None or before.schemes != schemes:
            self._sorted_by = (-1, Qt.SortOrder.AscendingOrder)
        self.columns = _columns(lambda: self._digest, schemes)
        self._rows = list(range(len(digest.grid.names))) if digest else []
        self._order = self._sorted()
        self.endResetModel()
        return True

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if (column, order) != self._sorted_by:  # a view asks for it again whenever it sizes its columns
            super().sort(column, order)

    @property
    def sorted_column(self) -> int:
        """The column that rows are sorted by; -1 where they stand as given."""
        return self._sorted_by[0]

    def name(self, at: int) -> str:
        """The tensor in row `at`."""
        return self._digest.grid.names[self.row(at)] if self._digest else ""

    def row_of(self, name: str) -> int | None:
        """Where a tensor stands; None where it does not."""
        at = self._digest.index.get(name) if self._digest else None
        return None if at is None else self._order.index(at)

    def numbers(self) -> Numbers:
        """As RowsModel's, of the scan that is shown now: another may be shown by the time they are written."""
        digest, rows = self._digest, [self._rows[at] for at in self._order]
        columns = _columns(lambda: digest, digest.schemes if digest else ())
        return [column.heading for column in columns], ([column.exported(row) for column in columns] for row in rows)

    def set_palette(self, palette: QPalette) -> None:
        """Takes the colours that the figures are tinted with."""
        self._palette = palette.color(QPalette.ColorRole.Base), Theme.of(palette)
        self._tints = {}

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.BackgroundRole and index.isValid():
            return self._tint(index.row(), index.column() - FIXED)
        return super().data(index, role)

    def _tint(self, row: int, scheme: int) -> QColor | None:
        if self._palette is None or self._digest is None or not 0 <= scheme < len(self._digest.schemes):
            return None
        shade = int(self._digest.shades[self.row(row), scheme])
        if shade < 0:
            return None
        if shade not in self._tints:
            base, theme = self._palette
            self._tints[shade] = mixed(base, QColor(*(int(part) for part in theme.magnitudes[shade])), TINT)
        return self._tints[shade]

    def _sorted(self) -> list[int]:
        """By name while no column is chosen: checkpoints have block 29 before block 3. What is not known (NaN) comes last."""
        if self._digest is None:
            return []
        column, order = self._sorted_by
        values = _values(self._digest, max(column, 0))
        if column >= 0 and order == Qt.SortOrder.DescendingOrder:
            values = -values
        found: list[int] = np.argsort(values, kind="stable").tolist()
        return found


FIXED = 1
"""Columns ahead of the schemes."""


def _columns(digest: Callable[[], Digest | None], schemes: tuple[Scheme, ...]) -> tuple[Column, ...]:
    def scan(at: int) -> TensorScan | None:
        found = digest()
        return found.scans[at] if found else None

    def name(at: int) -> str:
        found = digest()
        return found.grid.names[at] if found else ""

    def flags(at: int) -> str:
        found = digest()
        return flag_words(found.flags.get(name(at), ())) if found else ""

    return (
        Column("Tensor", name, lambda at: _rank(digest(), at), "ers.88.self_attn.q_proj.weight"),
        *(_scheme_column(digest, place, scheme) for place, scheme in enumerate(schemes)),
        Column("Odd", lambda at: f"{GLYPH} {flags(at)}" if flags(at) else "", flags, f"{GLYPH} extreme outliers"),
        Column("Kind", lambda at: _kind(scan(at)), lambda at: _kind(scan(at)), "embedding"),
        Column(
            "Shape",
            lambda at: _shape(scan(at)),
            lambda at: scan(at).stats.weights if scan(at) else ABSENT,  # type: ignore[union-attr]
            "88888 \u00d7 8888",
            True,
            value=lambda at: _shape(scan(at)),
        ),
    )


def _scheme_column(digest: Callable[[], Digest | None], place: int, scheme: Scheme) -> Column:
    def value(at: int) -> float:
        found = digest()
        return float(found.figures[SQNR.key][at, place]) if found else np.nan

    def key(at: int) -> float:
        return ABSENT if np.isnan(found := value(at)) else found

    def tip(at: int) -> str:
        found = digest()
        scan = found.scans[at] if found else None
        skipped = scan.skipped if scan and np.isnan(value(at)) else ""
        return skipped or f"SQNR under {scheme.label}: {decibels(value(at))}"

    return Column(scheme.label, lambda at: decibels(value(at)), key, "88.88 dB", True, tip, unit="dB")


def _values(digest: Digest, column: int) -> NDArray[np.float64]:
    """What a column is sorted by [T]: sixty thousand keys one by one would hold the window up."""
    schemes = len(digest.schemes)
    if FIXED <= column < FIXED + schemes:
        return digest.figures[SQNR.key][:, column - FIXED]
    others = (digest.ranks, digest.odd, digest.kinds, digest.weights)
    return others[0 if column < FIXED else column - schemes].astype(np.float64)


def _rank(digest: Digest | None, at: int) -> int:
    return int(digest.ranks[at]) if digest else 0


def _kind(scan: TensorScan | None) -> str:
    return scan.kind.value if scan else NOTHING


def _shape(scan: TensorScan | None) -> str:
    return shape_text(scan.shape) if scan else NOTHING
