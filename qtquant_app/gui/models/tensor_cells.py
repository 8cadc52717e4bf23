"""What stands in the cells of the layer tree: words for people, and values to sort and export by."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from qtquant_app.core.escaping import shortened, visible
from qtquant_app.core.quantities import bytes_text, decibels, plural, shape_text
from qtquant_app.core.report import ErrorSums
from qtquant_app.gui.models.findings import Findings
from qtquant_app.gui.models.tensor_filter import Column, error_value, tensor_value
from qtquant_app.gui.models.tensor_nodes import Node, Outline
from qtquant_app.gui.widgets.text import cell_text, plain_tip

TITLES = ("Name", "Flags", "Scheme", "SQNR", "Bytes", "Shape", "Kind", "Type")
_LONGEST_LINE = 400
WARNING = "\N{WARNING SIGN}"


class Cells:
    """The cells of the rows of one outline. What a block comes to is worked out when it is first looked at."""

    def __init__(self, outline: Outline, findings: Findings) -> None:
        self._outline = outline
        self._findings = findings

    @property
    def odd(self) -> int:
        """How many tensors are odd."""
        return self._odd_below(self._outline.root)

    def forget(self, names: Iterable[str] | None = None) -> None:
        """What is known of these tensors has changed, or of all: blocks that hold one are to be summed up again."""
        if names is None:
            for node in self._outline.nodes:
                node.facts = None
            return
        found = (self._outline.position(name) for name in names)
        self._forget(self._outline.root, sorted(at for at in found if at is not None))

    def _forget(self, node: Node, changed: list[int]) -> None:
        if _between(changed, node):
            node.facts = None
            for child in node.children or ():
                self._forget(child, changed)

    def text(self, node: Node, column: int, flat: bool) -> str:
        """The words of a cell; a flat list says the whole names."""
        match column:
            case Column.NAME:
                return cell_text(node.name if flat else node.label)
            case Column.FLAGS:
                return self._flags(node)
            case Column.SCHEME:
                return self._facts(node)[0]
            case Column.SQNR:
                errors = self._facts(node)[1]
                return decibels(errors.sqnr_db) if errors else ""
            case Column.BYTES:
                return bytes_text(self._outline.nbytes(node))
            case Column.SHAPE:
                return shape_text(_shape(node)) if node.tensor else ""
            case Column.KIND:
                return str(node.tensor.kind) if node.tensor else plural(node.end - node.first, "tensor")
            case _:
                return node.tensor.dtype if node.tensor else ""

    def value(self, node: Node, column: Column) -> Any:
        """What a row is sorted by; None where it is not known."""
        if column == Column.NAME:
            return node.number
        if column == Column.BYTES:
            return self._outline.nbytes(node)
        if node.tensor is not None and node.part is None:
            return tensor_value(node.tensor, self._findings, column)
        match column:
            case Column.FLAGS:
                return self._odd_below(node) if node.tensor is None else None
            case Column.SCHEME:
                return self._facts(node)[0]
            case Column.SQNR:
                return error_value(self._facts(node)[1])
            case Column.SHAPE:
                return 0
            case _:
                return ""

    def exported(self, node: Node) -> tuple[object, ...]:
        """The row as a table has it: whole names and plain numbers."""
        scheme, errors = self._facts(node)
        tensor = node.tensor
        return (
            node.name or _path(node),
            self._flags(node).removeprefix(WARNING).strip(),
            scheme,
            error_value(errors),
            self._outline.nbytes(node),
            "x".join(map(str, _shape(node))) if tensor else None,
            str(tensor.kind) if tensor else None,
            tensor.dtype if tensor else None,
        )

    def tool_tip(self, node: Node) -> str:
        """The whole name and what is odd. Names come from files: escaped, so that none can pass for rich text."""
        tensor = node.tensor
        lines = [node.name, f"in {tensor.file}"] if tensor else [node.label, plural(node.end - node.first, "tensor")]
        if tensor and tensor.tied_to:
            lines.append(f"tied to {tensor.tied_to}")
        if tensor:
            lines += [f"{WARNING} {flag}" for flag in self._findings.flags.get(tensor.name, ())]
        elif odd := self._odd_below(node):
            lines.append(f"{WARNING} {plural(odd, 'odd tensor')} below")
        return plain_tip("\n".join(visible(shortened(line, _LONGEST_LINE)) for line in lines))

    def _flags(self, node: Node) -> str:
        if node.tensor is not None:
            found = self._findings.flags.get(node.tensor.name, ()) if node.part is None else ()
            return f"{WARNING} {', '.join(found)}" if found else ""
        odd = self._odd_below(node)
        return f"{WARNING} {odd:,} below" if odd else ""

    def _odd_below(self, node: Node) -> int:
        """How many tensors of a row are odd. Nothing is kept of it: a scan may find another with every tensor."""
        flags = self._findings.flags
        return sum(map(flags.__contains__, self._outline.names[node.first : node.end])) if flags else 0

    def _facts(self, node: Node) -> tuple[str, ErrorSums | None]:
        if node.tensor is not None:
            return self._findings.scheme_of(node.tensor.name), self._findings.errors_of(node.name)
        if node.facts is None:
            node.facts = self._findings.together(self._outline.names[node.first : node.end])
        return node.facts


def _between(positions: list[int], node: Node) -> int:
    """How many of the sorted `positions` a row holds."""
    return bisect_left(positions, node.end) - bisect_left(positions, node.first)


def _shape(node: Node) -> tuple[int, ...]:
    assert node.tensor is not None
    return node.tensor.shape if node.part is None else node.tensor.shape[1:]


def _path(node: Node) -> str:
    """A block's or module's name from the top."""
    labels = [node.label]
    while node.parent is not None and node.parent.parent is not None:
        node = node.parent
        labels.append(node.label)
    return ".".join(reversed(labels))
