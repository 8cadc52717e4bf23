"""How a weight lies in a checkpoint that is quantized already: the stored tensors that it is decoded from, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtquant_app.core.checkpoint import TensorInfo


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about a quantized tensor before its numbers are looked at: `code` is stable, `text` a clause about it."""

    code: str
    text: str
    wrong: bool = True
    """Whether a reader trips over it."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What stands in the files in place of a float weight. The weight's own offset counts bytes of the decoded weight."""

    layout: str
    """The decoder, by its name in `engine.packed`."""
    method: str
    """What quantized it, as config.json calls it; empty where its numbers are floats that only lie otherwise."""
    parts: tuple[tuple[str, TensorInfo], ...]
    """The stored tensors by what they are to the layout."""
    bits: int
    group_size: int | None = None
    """Input columns that share a scale; None where a row, or all of the weight, has one."""
    symmetric: bool = True
    type: str = "int"
    legacy: bool = False
    """Whether the layout is one that the method's readers no longer take."""
    block_rows: int = 1
    """Rows that share a scale."""
    words: tuple[tuple[str, str], ...] = ()
    """What else the decoder needs to know."""
    notes: tuple[Note, ...] = ()
    """Where the files disagree with their own config, or with what readers take."""

    def part(self, name: str) -> TensorInfo | None:
        """The stored tensor that is `name` to the layout."""
        return dict(self.parts).get(name)

    def word(self, name: str) -> str:
        return dict(self.words).get(name, "")

    @property
    def nbytes(self) -> int:
        """Bytes of all its parts on disk."""
        return sum(tensor.nbytes for _, tensor in self.parts)

    @property
    def label(self) -> str:
        """A few characters for a table cell: `gptq W4 g128 asym`."""
        where = "" if self.group_size is None else f" g{self.group_size}"
        kind = "W" if self.type == "int" else "FP"
        symmetry = "" if self.type != "int" else " sym" if self.symmetric else " asym"
        return f"{self.word('label') or f'{self.layout} {kind}{self.bits}{where}{symmetry}'}"

    @property
    def place(self) -> str:
        """Tells it from any other tensor of the same files."""
        parts = " ".join(f"{name}:{t.file}:{t.offset}:{t.nbytes}" for name, t in self.parts)
        return f"{self.layout} {self.bits} {self.group_size} {self.legacy} {self.words} {parts}"
