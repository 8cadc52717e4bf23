"""Which rows of the layer tree a choice of tensors covers. Of tens of thousands no row is made for it that nobody sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from qtquant_app.gui.models.tensor_filter import Arrangement
from qtquant_app.gui.models.tensor_nodes import Node, Outline

MOST_VISITED = 4_000
"""Rows looked at for a cover; making more would hold the window up."""


class Marks:
    """A choice over the rows of an outline under a filter. A block or module is chosen where all is that can be, and shows."""

    def __init__(self, outline: Outline, shown: Arrangement, names: Iterable[str]) -> None:
        wanted = set(names)
        chosen = bytearray(map(wanted.__contains__, outline.names))
        could = bytearray(outline.quantizable)
        if shown.kept is not None:
            kept = bytearray(len(outline))
            for at in shown.kept:
                kept[at] = 1
            chosen, could = (bytearray(map(int.__and__, flags, kept)) for flags in (chosen, could))
        self._outline, self._order = outline, shown.order
        self._chosen, self._flags = [0, *accumulate(chosen)], chosen
        self._could = [0, *accumulate(could)]

    @property
    def count(self) -> int:
        """How many of the tensors chosen the filter shows."""
        return self._chosen[-1]

    def whole(self, node: Node) -> bool:
        """Whether a row is chosen: a tensor, or a block or module with all that can be chosen below it."""
        number = self._chosen[node.end] - self._chosen[node.first]
        if node.tensor is not None:
            return number > 0 and node.part is None
        return 0 < number == self._could[node.end] - self._could[node.first]

    def cover(self, most: int) -> tuple[list[Node], bool]:
        """The fewest rows of the tree that stand for the choice, in order, at most so many; and whether these are all."""
        found: list[Node] = []
        waiting, visited = [self._outline.root], 0
        while waiting:
            node = waiting.pop()
            visited += 1
            if len(found) == most or visited > MOST_VISITED:
                return found, False
            if node.parent is not None and self.whole(node):
                found.append(node)
            elif node.tensor is None:
                waiting += [child for child in reversed(self._outline.children(node)) if self._any(child)]
        return found, True

    def stretches(self, rows: int) -> Iterator[tuple[int, int]]:
        """Of the first so many rows of a flat list, the first and the last of each stretch that is chosen."""
        flags = [self._flags[at] for at in self._order[:rows]]
        row = 0
        while row < len(flags):
            if flags[row]:
                first = row
                while row + 1 < len(flags) and flags[row + 1]:
                    row += 1
                yield first, row
            row += 1

    def _any(self, node: Node) -> bool:
        return self._chosen[node.end] > self._chosen[node.first]
