"""The tensors of a checkpoint as a tree: blocks, the modules inside them, the tensors of those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.patterns import compiled
from qtquant_app.core.report import ErrorSums

KEEP = "keep"
GLOB = frozenset("*?[")


@dataclass(slots=True, eq=False)
class Node:
    """A row: a tensor, or a block or module that holds some. `children` are all, `shown` those the filter leaves."""

    number: int
    label: str
    parent: Node | None
    tensor: TensorInfo | None = None
    children: list[Node] = field(default_factory=list)
    shown: list[Node] = field(default_factory=list)
    row: int = 0
    nbytes: int = 0
    tensors: int = 0
    scheme: str = ""
    """The label of the scheme, "keep", or "mixed" for a group of unlike ones; empty without a plan."""
    errors: ErrorSums | None = None


def build(tensors: Iterable[TensorInfo]) -> list[Node]:
    """All nodes, the root first and each parent before its children; siblings in the order of their names.

    Names are cut at their dots. What comes up to the first number is a block (`model.layers.0`); inside it the modules
    make groups, and the last module stays with its parameter (`q_proj.bias`), which goes unsaid where it is the weight.
    """
    nodes = [Node(0, "", None)]
    groups: dict[tuple[str, ...], Node] = {}
    for tensor in sorted(tensors, key=lambda tensor: natural(tensor.name)):
        place = _place(tensor.name.split("."))
        parent = nodes[0]
        for depth in range(1, len(place)):
            key = place[:depth]
            if key not in groups:
                groups[key] = _add(nodes, place[depth - 1], parent)
            parent = groups[key]
        _add(nodes, place[-1], parent, tensor)
    for node in reversed(nodes):
        if node.tensor is not None:
            node.nbytes, node.tensors = node.tensor.nbytes, 1
        if node.parent is not None:
            node.parent.nbytes += node.nbytes
            node.parent.tensors += node.tensors
    return nodes


def _add(nodes: list[Node], label: str, parent: Node, tensor: TensorInfo | None = None) -> Node:
    node = Node(len(nodes), label, parent, tensor)
    parent.children.append(node)
    nodes.append(node)
    return node


def _place(parts: list[str]) -> tuple[str, ...]:
    """The labels from the top to the tensor."""
    block = next((at + 1 for at, part in enumerate(parts[:-1]) if part.isdigit()), None)
    if block is None:
        return (_leaf(parts),)
    inner = parts[block:]
    return (".".join(parts[:block]), *inner[:-2], _leaf(inner[-2:]))


def _leaf(parts: list[str]) -> str:
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "weight" else parts)


def natural(name: str) -> list[str]:
    """A sort key that puts block 2 before block 10."""
    return [part.zfill(9) if part.isdigit() else part for part in name.split(".")]


def summarize(node: Node) -> None:
    """Draws a group's scheme and errors together from its children's; what is kept does not make it mixed."""
    labels = {child.scheme for child in node.children} - {""}
    schemes = labels - {KEEP} or labels
    node.scheme = "mixed" if len(schemes) > 1 else next(iter(schemes), "")
    parts = [child.errors for child in node.children if child.errors is not None]
    node.errors = added(parts) if parts else None


def added(parts: Sequence[ErrorSums]) -> ErrorSums:
    """The errors of several tensors taken as one."""
    return ErrorSums(
        weights=sum(part.weights for part in parts),
        square_error=sum(part.square_error for part in parts),
        square_weight=sum(part.square_weight for part in parts),
        square_dequantized=sum(part.square_dequantized for part in parts),
        max_error=max(part.max_error for part in parts),
    )


def predicate(text: str) -> Callable[[TensorInfo], bool]:
    """What a filter line keeps: tensors whose name has all its words, or that its glob or `re:` expression names.

    Raises UsageError where the expression is malformed.
    """
    text = text.strip()
    if text.startswith("re:"):
        search = compiled(text).search
        return lambda tensor: search(tensor.name) is not None
    if GLOB & set(text):
        match = compiled(text).fullmatch
        return lambda tensor: match(tensor.name) is not None or match(tensor.module) is not None
    words = text.lower().split()
    if len(words) == 1:
        word = words[0]
        return lambda tensor: word in tensor.name.lower()
    return lambda tensor: all(word in tensor.name.lower() for word in words)
