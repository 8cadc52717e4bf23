"""The tensors of a checkpoint as a tree: blocks, the modules inside them, the tensors of those.

A row is a range of the tensors in the order of their names. Rows are made when somebody asks for them: of 60,000 tensors a person
sees some dozens, and making them all would hold the window up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.matrix import slices
from qtquant_app.core.report import ErrorSums

_BETWEEN, _AFTER = "\0", "\1"
"""What joins the parts of a sort key, and what comes right behind every key that goes on from another."""


@dataclass(slots=True, eq=False)
class Node:
    """A row: a tensor, a part of a stack of experts, or a block or module that holds some tensors."""

    number: int
    label: str
    parent: Node | None
    first: int
    """The tensors from `first` to `end` of the outline are below it, or are the one that it shows."""
    end: int
    depth: int = 0
    """How many parts of their names its own label and those above it have said."""
    tensor: TensorInfo | None = None
    part: int | None = None
    children: list[Node] | None = None
    """All rows below it; None until somebody asked."""
    shown: list[Node] | None = None
    """Those that the filter leaves, in the order of the view."""
    arranged: int = -1
    """The arrangement that `shown` is of."""
    fetched: int = 0
    """How many of `shown` the view has been told of."""
    row: int = 0
    facts: tuple[str, ErrorSums | None] | None = None
    """The scheme and the errors of all below it, taken together; None where they are to be worked out again."""

    @property
    def name(self) -> str:
        """What it is called in the checkpoint, the part in brackets: `experts.up_proj[3]`; empty for a block or module."""
        if self.tensor is None:
            return ""
        return self.tensor.name if self.part is None else f"{self.tensor.name}[{self.part}]"

    @property
    def has_children(self) -> bool:
        return self.tensor is None or (self.part is None and slices(self.tensor) > 1)


class Outline:
    """The tensors in the order of their names, with what filters look at, and the rows made so far. It is made in a worker."""

    def __init__(self, tensors: Iterable[TensorInfo]) -> None:
        listed = list(tensors)
        natural = _Natural()
        keys = [natural.key(tensor.name) for tensor in listed]
        order = sorted(range(len(listed)), key=keys.__getitem__)
        self._natural = natural
        self._keys = [keys[at] for at in order]
        self.tensors = [listed[at] for at in order]
        self.names = [tensor.name for tensor in self.tensors]
        self.lowered = [name.lower() for name in self.names]
        self.quantizable = [tensor.quantizable for tensor in self.tensors]
        self.kinds = Counter(tensor.kind for tensor in self.tensors)
        self._bytes_before = [0, *accumulate(tensor.nbytes for tensor in self.tensors)]
        self.root = Node(0, "", None, 0, len(listed))
        self.nodes = [self.root]
        self.children(self.root)

    def __len__(self) -> int:
        return len(self.tensors)

    def nbytes(self, node: Node) -> int:
        """The bytes of all tensors of a row."""
        whole = self._bytes_before[node.end] - self._bytes_before[node.first]
        return whole if node.part is None or node.tensor is None else whole // slices(node.tensor)

    def position(self, name: str) -> int | None:
        """Where the tensor `name` comes."""
        at = bisect_left(self._keys, self._natural.key(name))
        while at < len(self.names) and self.names[at] != name and self._keys[at] == self._natural.key(name):
            at += 1
        return at if at < len(self.names) and self.names[at] == name else None

    def children(self, node: Node) -> list[Node]:
        """The rows below `node`, siblings in the order of their names."""
        if node.children is None:
            node.children = []
            for label, first, end, depth, part in self._branches(node):
                leaf = depth == node.depth
                tensor = self.tensors[first] if leaf else None
                child = Node(len(self.nodes), label, node, first, end, depth, tensor, part)
                self.nodes.append(child)
                node.children.append(child)
        return node.children

    def leaf(self, at: int, part: int | None = None) -> Node:
        """The row of the tensor at `at`, or of a part of it; the rows on the way to it are made too."""
        node = self.root
        while node.tensor is None:
            children = self.children(node)
            node = children[bisect_right(children, at, key=_first) - 1]
        return node if part is None else self.children(node)[part]

    def _branches(self, node: Node) -> Iterator[tuple[str, int, int, int, int | None]]:
        """Label, range, depth and part of each row below `node`. A tensor among them is no deeper than `node`."""
        if node.tensor is not None:
            count = slices(node.tensor) if node.has_children else 0
            yield from ((f"[{part}]", node.first, node.end, node.depth, part) for part in range(count))
            return
        at = node.first
        while at < node.end:
            label, depth = _cut(self.names[at].split("."), node.depth)
            end = at + 1
            if depth > node.depth:
                group = _BETWEEN.join(self._keys[at].split(_BETWEEN)[:depth])
                end = bisect_left(self._keys, group + _AFTER, at, node.end)
            yield label, at, end, depth, None
            at = end


def _cut(parts: list[str], depth: int) -> tuple[str, int]:
    """The label of the row that a name goes into below a row of `depth`, and the depth of that; the same depth for a tensor.

    What comes up to the first number is a block (`model.layers.0`); inside it the modules make groups, and the last module
    stays with its parameter (`q_proj.bias`), which goes unsaid where it is the weight.
    """
    if depth:
        inner = parts[depth:]
        return (inner[0], depth + 1) if len(inner) > 2 else (_leaf(inner), depth)
    block = next((at + 1 for at, part in enumerate(parts[:-1]) if part.isdigit()), 0)
    return (".".join(parts[:block]), block) if block else (_leaf(parts), 0)


def _leaf(parts: list[str]) -> str:
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "weight" else parts)


def natural(name: str) -> list[str]:
    """A sort key that puts block 2 before block 10."""
    return [part.zfill(9) if part.isdigit() else part for part in name.split(".")]


class _Natural(dict[str, str]):
    """Sort keys that put block 2 before block 10; the parts of names come again and again, so each is worked out once."""

    def __missing__(self, part: str) -> str:
        plain = part.replace(_BETWEEN, "\N{REPLACEMENT CHARACTER}").replace(_AFTER, "\N{REPLACEMENT CHARACTER}")
        key = plain.zfill(9) + plain if plain.isdigit() else plain  # 01 and 1 stay apart
        self[part] = key
        return key

    def key(self, name: str) -> str:
        return _BETWEEN.join([self[part] for part in name.split(".")])


def _first(node: Node) -> int:
    return node.first
