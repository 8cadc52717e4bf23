"""The errors of a tensor as a cache holds them: numbers, of which reports are made when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple, overload

from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scheme import Scheme

RECORD = Struct("<8s4d")
"""One scheme: its key, then square_error, square_weight, square_dequantized and max_error as in ErrorSums."""


class Size(NamedTuple):
    """What a tensor takes under a scheme; `key` stands for the scheme in the cache, and is quick to look up."""

    scheme: Scheme
    key: bytes
    bytes: int


class RecalledReports(Sequence[TensorReport]):
    """Equal to a tuple of the same reports. A model of 60,000 tensors has 360,000 of them under six schemes: few are looked at."""

    __slots__ = ("name", "records", "sizes", "weights")

    def __init__(self, name: str, weights: int, sizes: tuple[Size, ...], records: bytes) -> None:
        self.name = name
        self.weights = weights
        self.sizes = sizes
        """What the tensor takes under each scheme."""
        self.records = records
        """A RECORD each, in the order of `sizes`: a million numbers would take as many objects."""

    def under(self, scheme: Scheme) -> TensorReport | None:
        """The report of one scheme."""
        return next((self[at] for at, size in enumerate(self.sizes) if size.scheme == scheme), None)

    def errors(self) -> Iterator[tuple[Size, ErrorSums]]:
        """Size and errors under each scheme, without the reports."""
        for size, (_, *sums) in zip(self.sizes, RECORD.iter_unpack(self.records), strict=True):
            yield size, ErrorSums(self.weights, *sums)

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, at: int) -> TensorReport: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[TensorReport, ...]: ...
    def __getitem__(self, at: int | slice) -> TensorReport | tuple[TensorReport, ...]:
        if isinstance(at, slice):
            return tuple(self[place] for place in range(*at.indices(len(self))))
        place = range(len(self))[at]
        size = self.sizes[place]
        _, *sums = RECORD.unpack_from(self.records, RECORD.size * place)
        return TensorReport(self.name, size.scheme, size.bytes, ErrorSums(self.weights, *sums))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (RecalledReports, tuple)):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))
