"""The Qt model of the layer tree. It filters and sorts by itself: a proxy asking row by row is too slow at this size."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.matrix import part_of, slices
from qtquant_app.core.plan import Plan
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import Flag
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.findings import Findings
from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.models.tensor_cells import TITLES, Cells
from qtquant_app.gui.models.tensor_filter import ODD, Arrangement, Query, arrange, check, sort
from qtquant_app.gui.models.tensor_filter import Column as Column
from qtquant_app.gui.models.tensor_marks import Marks
from qtquant_app.gui.models.tensor_nodes import Node, Outline
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole

NUMERIC = frozenset({Column.SQNR, Column.BYTES, Column.SHAPE})
FEW = 1_000
"""Of so many tensors it is looked up which rows they are in; where more have changed all rows are made anew when they show."""
AT_ONCE = 4_000
"""Up to so many tensors are arranged on the spot; more go to a worker, and `ready` follows."""
FETCHED = 250
"""The rows below one that a view is told of at first. It asks for more as it comes to their end; it lays out all it knows of."""


class TensorTree(QAbstractItemModel):
    """Blocks, modules and tensors, each with its bytes, the scheme the plan gives it, and its error where it is known.

    Stacks of experts have a row for each of their parts, named `experts.up_proj[3]`.
    """

    ready = Signal()
    """The rows are those last asked for, by `set_tensors`, `set_filter`, or `sort` in a flat list."""
    flags_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._findings = Findings()
        self._query = Query()
        self._coming: Callable[[], Outline] = lambda: Outline(())
        self._coming_total = 0
        self._worker = Latest(self)
        self._worker.result.connect(self._take)
        self._arrangements = 0
        self._outline = Outline(())
        self._shown = Arrangement(self._query, None, [])
        self._cells = Cells(self._outline, self._findings)
        self._scan: Digest | None = None

    @property
    def total(self) -> int:
        return len(self._outline)

    @property
    def matching(self) -> int:
        """How many tensors the filter leaves."""
        kept = self._shown.kept
        return self.total if kept is None else len(kept)

    @property
    def flat(self) -> bool:
        """Whether the rows are one list of tensors."""
        return self._shown.query.flat

    @property
    def text(self) -> str:
        """The filter line that the rows are the answer to."""
        return self._shown.query.text.strip()

    @property
    def busy(self) -> bool:
        """Whether a worker is at the rows last asked for, so that `ready` is still to come."""
        return self._worker.busy

    @property
    def coming(self) -> int:
        """How many tensors the checkpoint has, whether they are shown yet or not."""
        return self._coming_total

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many tensors there are of each kind, and of odd ones where a scan said which."""
        found = {kind.value: count for kind, count in sorted(self._outline.kinds.items())}
        return {**found, ODD: self._cells.odd} if self._findings.flags else found

    def set_tensors(self, tensors: Iterable[TensorInfo]) -> None:
        """Shows another checkpoint, of which no plan and no errors are known yet."""
        listed = tuple(tensors)
        self._findings, self._scan = Findings(), None
        self._coming = cache(lambda: Outline(listed))  # a filter set meanwhile waits for the same one
        self._coming_total = len(listed)
        if listed and self._is_long:
            self._take((Outline(()), Arrangement(self._query, None, [])), last=False)
        self._arrange()

    def set_plan(self, plan: Plan | None) -> None:
        """Shows the schemes of `plan`, and those known errors that were measured under them."""
        self._findings.set_plan(plan)
        self._cells.forget()
        self._changed()

    def add_errors(self, found: Iterable[tuple[str, Scheme, ErrorSums]]) -> None:
        """Learns the errors of tensors under schemes; they are shown where the plan has the same scheme."""
        names = []
        for name, scheme, errors in found:
            self._findings.add(name, scheme, errors)
            names.append(name)
        self._cells.forget(names)
        self._changed()

    def set_flags(self, flags: Mapping[str, tuple[Flag, ...]]) -> None:
        """Shows what is odd about which tensors; those not named have nothing odd."""
        self._findings.set_flags(flags)
        self._flags_changed()
        self._changed()

    def set_scan(self, scan: Digest | None) -> None:
        """Shows what a scan has found out so far: errors and what is odd. A later state of it costs what has come since."""
        before, self._scan, odd = self._scan, scan, self._findings.flags.keys()
        self._findings.set_scan(scan)
        new = scan.since(before) if scan else None
        self._cells.forget(new if new is not None and len(new) <= FEW else None)
        if odd != self._findings.flags.keys():
            self._flags_changed()
        self._changed()

    def set_filter(self, text: str, kind: str = "", flat: bool = False) -> None:
        """Leaves the tensors that `text` and `kind` allow; `flat` drops blocks and modules. Raises UsageError."""
        query = replace(self._query, text=text, kind=kind, flat=flat)
        if query == self._query:
            return
        check(text)
        self._query = query
        self._arrange()

    def tensor(self, index: Index) -> TensorInfo | None:
        """The tensor of a row, for a part of a stack the stack; None for a block or module."""
        return self._node(index).tensor

    def name(self, index: Index) -> str:
        """The name of the tensor or part of a row; empty for a block or module."""
        return self._node(index).name

    def names_below(self, index: Index) -> list[str]:
        """The name of a tensor or part; for a block or module those of all tensors below it that can be quantized and are shown."""
        node, outline, kept = self._node(index), self._outline, self._shown.kept
        if node.tensor is not None:
            return [node.name]
        among: Iterable[int] = range(node.first, node.end)
        if kept is not None:
            among = kept[bisect_left(kept, node.first) : bisect_left(kept, node.end)]
        return [outline.names[at] for at in among if outline.quantizable[at]]

    def errors(self, name: str, scheme: Scheme) -> ErrorSums | None:
        """What is known of a tensor under a scheme."""
        return self._findings.errors(name, scheme)

    def index_of(self, name: str) -> QModelIndex:
        """The row of a tensor, or of a part of one; invalid where there is none or the filter hides it."""
        at, part = self._find(name)
        if at is None or not self._keeps(at, at + 1):
            return QModelIndex()
        if self.flat:
            return self._reach(self._outline.root, self._shown.order.index(at))
        return self._index_of_node(self._outline.leaf(at, part))

    def key(self, index: Index) -> int:
        """Names a row as long as the checkpoint stays: filters and sorting do not change it."""
        return self._node(index).number

    def index_of_key(self, key: int) -> QModelIndex:
        """The row of that key; invalid where the filter hides it."""
        return self._index_of_node(self._outline.nodes[key]) if key < len(self._outline.nodes) else QModelIndex()

    def marks(self, names: Iterable[str]) -> Marks:
        """The rows that a choice covers, as long as rows and filter stay."""
        return Marks(self._outline, self._shown, names)

    def marked(self, marks: Marks, index: Index) -> bool:
        """Whether a row is one of those."""
        return marks.whole(self._node(index))

    def known_errors(self) -> Callable[[], Mapping[str, float]] | None:
        """What reads off, in any thread, the SQNR of every tensor that the tree shows one for; None where none is known."""
        return partial(self._findings.sqnr_db, self._outline.names) if self._findings.any_errors else None

    def exported(self, index: Index) -> tuple[object, ...]:
        """A row as a table has it, in the order of TITLES."""
        return self._cells.exported(self._node(index))

    def exported_list(self) -> Iterator[tuple[object, ...]]:
        """All rows of a flat list, whether a view knows of them yet or not; made as they are asked for, in any thread."""
        outline, cells, order = self._outline, self._cells, self._shown.order
        return (cells.exported(_leaf(outline, at)) for at in order)

    def _flags_changed(self) -> None:
        if self._query.kind == ODD:
            self._arrange()
        self.flags_changed.emit()

    # What Qt asks for

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        node = self._node(parent)
        if not (0 <= row < self._fetched(node) and 0 <= column < len(Column)):
            return QModelIndex()
        return self.createIndex(row, column, self._shown.order[row] if self.flat else self._rows(node)[row].number)

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        if self.flat or not index.isValid():
            return QModelIndex()
        above = self._node(index).parent
        return QModelIndex() if above is None or above.parent is None else self._index(above)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.column() > 0 else self._fetched(self._node(parent))

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: B008
        """Told without making the rows: a view asks it of every row it paints."""
        if not parent.isValid():
            return self.matching > 0
        return not self.flat and parent.column() == 0 and self._node(parent).has_children

    def canFetchMore(self, parent: Index) -> bool:
        node = self._node(parent)
        return self._fetched(node) < self._length(node)

    def fetchMore(self, parent: Index) -> None:
        node = self._node(parent)
        self._fetch(node, min(self._length(node), 2 * self._fetched(node)))

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return TITLES[section]
        return _ALIGNMENTS[section] if role == Role.TextAlignmentRole else None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        if role == Role.DisplayRole:
            return self._cells.text(self._node(index), index.column(), self.flat)
        if role == Role.TextAlignmentRole:
            return _ALIGNMENTS[index.column()]
        return self._cells.tool_tip(self._node(index)) if role == Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        descending = order == Qt.SortOrder.DescendingOrder
        self._query = replace(self._query, column=Column(max(column, 0)), descending=descending)
        if self.flat or self.busy:
            self._arrange()
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        nodes = [self._node(index) for index in before]
        self._shown = replace(self._shown, query=self._query)
        self._arrangements += 1
        after = [self._index(node, index.column()) for node, index in zip(nodes, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    # Arranging

    @property
    def _is_long(self) -> bool:
        return self._coming_total > AT_ONCE

    def _arrange(self) -> None:
        """Asks for the rows of the query as it is now."""
        coming, findings, query = self._coming, self._findings, self._query

        def work() -> tuple[Outline, Arrangement]:
            outline = coming()
            return outline, arrange(outline, findings, query)

        if self._is_long:
            self._worker.submit(once(work))
        else:
            self._worker.cancel()
            self._take(work())

    def _take(self, found: tuple[Outline, Arrangement], last: bool = True) -> None:
        self.beginResetModel()
        self._hold(*found)
        self.endResetModel()
        if last:
            self.ready.emit()

    def _hold(self, outline: Outline, shown: Arrangement) -> None:
        if outline is not self._outline:
            self._outline = outline
            self._cells = Cells(outline, self._findings)
        for node in outline.nodes:
            node.fetched = 0
        self._shown = shown
        self._arrangements += 1

    def _find(self, name: str) -> tuple[int | None, int | None]:
        """Where a tensor comes, and which part of it is meant."""
        at = self._outline.position(name)
        if at is not None:
            return at, None
        tensor, part = part_of(name)
        at = self._outline.position(tensor)
        if at is None or part is None:
            return None, None
        stack = self._outline.tensors[at]
        if slices(stack) == 1 and part == 0 and stack.kind is Kind.EXPERT and len(stack.shape) == 3:
            return at, None  # a stack of one is its own only part
        return (at, part) if part < slices(stack) > 1 else (None, None)

    def _keeps(self, first: int, end: int) -> bool:
        kept = self._shown.kept
        return kept is None or bisect_left(kept, first) < bisect_left(kept, end)

    def _rows(self, node: Node) -> list[Node]:
        """The rows below `node` that the filter leaves, in order; arranged when they are first asked for."""
        if node.arranged != self._arrangements or node.shown is None:
            query = self._shown.query
            rows = [child for child in self._outline.children(node) if self._keeps(child.first, child.end)]
            if query.column != Column.NAME or query.descending:
                sort(rows, lambda child: self._cells.value(child, query.column), query)
            for row, child in enumerate(rows):
                child.row = row
            node.shown, node.arranged = rows, self._arrangements
        return node.shown

    def _length(self, node: Node) -> int:
        """How many rows there are below `node`."""
        if self.flat:
            return 0 if node.parent else len(self._shown.order)
        return len(self._rows(node))

    def _fetched(self, node: Node) -> int:
        return min(self._length(node), max(FETCHED, node.fetched))

    def _fetch(self, node: Node, count: int) -> None:
        known = self._fetched(node)
        if count > known:
            self.beginInsertRows(self._index(node) if node.parent else QModelIndex(), known, count - 1)
            node.fetched = count
            self.endInsertRows()

    def _reach(self, node: Node, row: int) -> QModelIndex:
        """The index of a row below `node`, which a view may not know of yet."""
        self._fetch(node, row + 1)
        return self.index(row, 0, self._index(node) if node.parent else QModelIndex())

    def _node(self, index: Index) -> Node:
        if not index.isValid():
            return self._outline.root
        return _leaf(self._outline, index.internalId()) if self.flat else self._outline.nodes[index.internalId()]

    def _index(self, node: Node, column: int = 0) -> QModelIndex:
        if node.parent is not None:
            self._rows(node.parent)  # which number the rows
        return self.createIndex(node.row, column, node.number)

    def _index_of_node(self, node: Node) -> QModelIndex:
        if self.flat or node.parent is None or not self._keeps(node.first, node.end):
            return QModelIndex()
        self._index(node)
        return self._reach(node.parent, node.row)

    def _changed(self) -> None:
        """One signal for all rows, however many changed: a view then repaints once."""
        last = self._fetched(self._outline.root) - 1
        if last >= 0:
            self.dataChanged.emit(self.index(0, Column.FLAGS), self.index(last, Column.SQNR))


def _leaf(outline: Outline, at: int) -> Node:
    """A row of a flat list: it stands for itself, whatever is above the tensor in the tree."""
    tensor = outline.tensors[at]
    return Node(at, tensor.name, outline.root, at, at + 1, 0, tensor)


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in NUMERIC else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


_ALIGNMENTS = tuple(_alignment(column) for column in Column)
