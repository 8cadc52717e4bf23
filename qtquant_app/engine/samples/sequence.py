"""The samples themselves, and what is told of them before they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

from qtquant_app.core.calibration import Calibration, SampleShown, SamplesReport

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 3
"""Samples that a report shows."""

Sample = dict[str, "Tensor"]
"""Arguments of the model's forward by name, batch dimension 1."""


@dataclass(frozen=True)
class Samples(Sequence[Sample]):
    """Samples that are made when they are asked for: all with the same names, their lengths may differ.

    On the CPU; whole numbers are int64, the others float32. `calibration` is what they were made from, with the digest of what was
    read.
    """

    calibration: Calibration
    facts: SamplesReport
    make: Callable[[int], Sample]
    title: Callable[[int], SampleShown]

    def __len__(self) -> int:
        return self.facts.count

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> list[Sample]: ...
    def __getitem__(self, at: int | slice) -> Sample | list[Sample]:
        if isinstance(at, slice):
            return [self.make(i) for i in range(len(self))[at]]
        return self.make(range(len(self))[at])

    def __iter__(self) -> Iterator[Sample]:
        return (self.make(i) for i in range(len(self)))

    @property
    def tokens(self) -> int:
        """Of text, in all samples."""
        return self.facts.tokens

    def report(self) -> SamplesReport:
        """What they are; the first few are made for it."""
        shown = []
        for number in range(min(SHOWN, len(self))):
            shapes = {name: tuple(value.shape) for name, value in self[number].items()}
            shown.append(replace(self.title(number), shapes=shapes))
        return replace(self.facts, shown=tuple(shown))
