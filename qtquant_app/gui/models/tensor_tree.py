"""The Qt model of the layer tree. It filters and sorts by itself: a proxy asking row by row is too slow at this size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from html import escape
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import bytes_text, decibels, shape_text
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.tensor_nodes import KEEP, Node, build, natural, predicate, summarize

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole


class Column(IntEnum):
    NAME = 0
    SCHEME = 1
    SQNR = 2
    BYTES = 3
    SHAPE = 4
    KIND = 5
    DTYPE = 6


TITLES = ("Name", "Scheme", "SQNR", "Bytes", "Shape", "Kind", "Type")
NUMERIC = frozenset({Column.SQNR, Column.BYTES, Column.SHAPE})


class TensorTree(QAbstractItemModel):
    """Blocks, modules and tensors, each with its bytes, the scheme the plan gives it, and its error where it is known."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._nodes = build(())
        self._by_name: dict[str, Node] = {}
        self._planned: dict[str, Scheme | None] = {}
        self._errors: dict[tuple[str, Scheme], ErrorSums] = {}
        self._filter: tuple[str, str, bool] = ("", "", False)
        self._order = (Column.NAME, Qt.SortOrder.AscendingOrder)
        self.matching = 0
        """How many tensors the filter leaves."""

    @property
    def total(self) -> int:
        return self._nodes[0].tensors

    @property
    def flat(self) -> bool:
        return self._filter[2]

    def set_tensors(self, tensors: Iterable[TensorInfo]) -> None:
        """Shows another checkpoint, of which no plan and no errors are known yet."""
        self.beginResetModel()
        self._nodes = build(tensors)
        self._by_name = {node.tensor.name: node for node in self._nodes if node.tensor is not None}
        self._planned, self._errors = {}, {}
        self._apply_filter()
        self.endResetModel()

    def set_plan(self, plan: Plan | None) -> None:
        """Shows the schemes of `plan`, and those known errors that were measured under them."""
        self._planned = {tensor.name: tensor.scheme for tensor in plan.tensors} if plan else {}
        for name, node in self._by_name.items():
            self._refresh(name, node)
        for node in reversed(self._nodes):
            if node.tensor is None:
                summarize(node)
        self._changed()

    def add_errors(self, found: Iterable[tuple[str, Scheme, ErrorSums]]) -> None:
        """Learns the errors of tensors under schemes; they are shown where the plan has the same scheme."""
        parents: dict[int, Node] = {}
        for name, scheme, errors in found:
            self._errors[name, scheme] = errors
            node = self._by_name.get(name)
            if node is not None:
                self._refresh(name, node)
                parents.update((above.number, above) for above in _ancestors(node))
        for number in sorted(parents, reverse=True):
            summarize(parents[number])
        self._changed()

    def set_filter(self, text: str, kind: str = "", flat: bool = False) -> None:
        """Leaves the tensors that `text` and `kind` allow; `flat` drops blocks and modules. Raises UsageError."""
        if (text, kind, flat) == self._filter:
            return
        predicate(text)
        self.beginResetModel()
        self._filter = (text, kind, flat)
        self._apply_filter()
        self.endResetModel()

    def tensor(self, index: Index) -> TensorInfo | None:
        """The tensor of a row; None for a block or module."""
        return self._node(index).tensor

    def errors(self, name: str, scheme: Scheme) -> ErrorSums | None:
        """What is known of a tensor under a scheme."""
        return self._errors.get((name, scheme))

    def index_of(self, name: str) -> QModelIndex:
        """The row of a tensor; invalid where there is none or the filter hides it."""
        node = self._by_name.get(name)
        return self._index(node) if node is not None and self._is_shown(node) else QModelIndex()

    def key(self, index: Index) -> int:
        """Names a row as long as the checkpoint stays: filters and sorting do not change it."""
        return self._node(index).number

    def index_of_key(self, key: int) -> QModelIndex:
        node = self._nodes[key]
        return self._index(node) if self._is_shown(node) else QModelIndex()

    # What Qt asks for

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        shown = self._node(parent).shown
        if not (0 <= row < len(shown) and 0 <= column < len(Column)):
            return QModelIndex()
        return self.createIndex(row, column, shown[row].number)

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        above = self._node(index).parent
        return QModelIndex() if above is None or above.parent is None or self.flat else self._index(above)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.column() > 0 else len(self._node(parent).shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return TITLES[section]
        return _alignment(section) if role == Role.TextAlignmentRole else None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        if role == Role.DisplayRole:
            return self._text(self._node(index), index.column())
        if role == Role.TextAlignmentRole:
            return _alignment(index.column())
        return self._tool_tip(self._node(index)) if role == Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._order = (Column(max(column, 0)), order)
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        self._sort_shown()
        after = [self._index(self._node(index), index.column()) for index in before]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _node(self, index: Index) -> Node:
        return self._nodes[index.internalId()] if index.isValid() else self._nodes[0]

    def _index(self, node: Node, column: int = 0) -> QModelIndex:
        return self.createIndex(node.row, column, node.number)

    def _is_shown(self, node: Node) -> bool:
        above = self._nodes[0] if self.flat else node.parent
        return above is not None and node.row < len(above.shown) and above.shown[node.row] is node

    def _refresh(self, name: str, node: Node) -> None:
        scheme = self._planned.get(name)
        node.scheme = scheme.label if scheme else KEEP if name in self._planned else ""
        node.errors = self._errors.get((name, scheme)) if scheme else None

    def _changed(self) -> None:
        """One signal for all rows, however many changed: a view then repaints once."""
        last = len(self._nodes[0].shown) - 1
        if last >= 0:
            self.dataChanged.emit(self.index(0, Column.SCHEME), self.index(last, Column.SQNR))

    def _apply_filter(self) -> None:
        text, kind, flat = self._filter
        keeps, everything = predicate(text), not text.strip()
        found = [
            node
            for node in self._by_name.values()
            if node.tensor and (not kind or node.tensor.kind == kind) and (everything or keeps(node.tensor))
        ]
        self.matching = len(found)
        for node in self._nodes:
            node.shown = []
        if flat:
            self._nodes[0].shown = found
        else:
            kept = {node.number for node in found}
            for node in reversed(self._nodes):
                if node.parent is not None and (node.number in kept or node.shown):
                    node.parent.shown.append(node)
        self._sort_shown()

    def _sort_shown(self) -> None:
        column, order = self._order
        key = _KEYS[column]
        for node in self._nodes:
            if node.shown:
                node.shown.sort(key=lambda child: child.number)
                if column != Column.NAME or order != Qt.SortOrder.AscendingOrder:
                    node.shown.sort(key=key, reverse=order == Qt.SortOrder.DescendingOrder)
                if column == Column.SQNR:
                    node.shown.sort(key=lambda child: child.errors is None)  # the unknown stay last either way
                for row, child in enumerate(node.shown):
                    child.row = row

    def _text(self, node: Node, column: int) -> str:
        tensor = node.tensor
        match column:
            case Column.NAME:
                return tensor.name if tensor and self.flat else node.label
            case Column.SCHEME:
                return node.scheme
            case Column.SQNR:
                return decibels(node.errors.sqnr_db) if node.errors else ""
            case Column.BYTES:
                return bytes_text(node.nbytes)
            case Column.SHAPE:
                return shape_text(tensor.shape) if tensor else ""
            case Column.KIND:
                return str(tensor.kind) if tensor else f"{node.tensors} tensors"
            case _:
                return tensor.dtype if tensor else ""

    def _tool_tip(self, node: Node) -> str:
        """The whole name. Names come from files: escaped, so that none can pass for rich text."""
        tensor = node.tensor
        lines = [tensor.name, f"in {tensor.file}"] if tensor else [node.label, f"{node.tensors:,} tensors"]
        if tensor and tensor.tied_to:
            lines.append(f"tied to {tensor.tied_to}")
        return "<br>".join(escape(line) for line in lines).join(("<qt>", "</qt>"))


def _ancestors(node: Node) -> Iterable[Node]:
    above = node.parent
    while above is not None:
        yield above
        above = above.parent


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in NUMERIC else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


_KEYS: dict[Column, Callable[[Node], Any]] = {
    Column.NAME: lambda node: natural(node.tensor.name if node.tensor else node.label),
    Column.SCHEME: lambda node: node.scheme,
    Column.SQNR: lambda node: node.errors.sqnr_db if node.errors else 0.0,
    Column.BYTES: lambda node: node.nbytes,
    Column.SHAPE: lambda node: node.tensor.parameters if node.tensor else 0,
    Column.KIND: lambda node: node.tensor.kind if node.tensor else "",
    Column.DTYPE: lambda node: node.tensor.dtype if node.tensor else "",
}
