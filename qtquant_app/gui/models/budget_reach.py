"""What a measured checkpoint can come to: the sizes, bits and errors that a budget can ask for, and how they hang together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any

from qtquant_app.core.budget import Point
from qtquant_app.core.device_memory import memory_use
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Memory

if TYPE_CHECKING:
    from qtquant_app.engine.budget import Measured
    from qtquant_app.engine.budget_measure import MeasuredSet


@dataclass(frozen=True)
class Reach:
    """Everything that is known before a target is: plain values, so that the window can follow the mouse by itself."""

    frontier: tuple[Point, ...]
    """The best error for each size, the smallest first."""
    uniform: tuple[Point, ...]
    """One scheme for all, the smallest first."""
    schemes: tuple[Scheme, ...]
    """Of the points of `uniform`, in the same order."""
    bits: tuple[float, float]
    """The fewest and the most bits per weight that can be had."""
    weights: int
    """That bits per weight are counted over."""
    free: int
    """Sets of modules that the budget decides about."""
    config: Mapping[str, Any]
    """The model's config.json, which tells what a device holds besides the weights."""
    largest: int
    """Output bytes of the least error; the frontier is without what its headers and config take more than the smallest's."""
    around: int
    """Of the output bytes those that are no tensors, and that no device holds."""
    calibrated: bool = False
    """Whether errors are nats a token."""
    compared: tuple[tuple[Scheme, float], ...] = ()
    """Schemes that were measured and are not among `schemes`, with their errors if all got them."""

    unfit: tuple[Scheme, ...] = ()
    """Schemes that were measured and do not fit all."""

    @property
    def likes(self) -> tuple[tuple[Scheme, float], ...]:
        """What a mix can be held against, the worst first: a scheme, and the error if all got it."""
        chosen = ((scheme, point.error) for scheme, point in zip(self.schemes, self.uniform, strict=True))
        return tuple(sorted((*chosen, *self.compared), key=lambda pair: -pair[1]))

    @property
    def bytes(self) -> tuple[int, int]:
        """The smallest output, and the one that nothing larger is better than."""
        return self.frontier[0].bytes, max(self.frontier[-1].bytes, self.largest)

    @property
    def errors(self) -> tuple[float, float]:
        """The smallest error above 0, and the largest."""
        found = [point.error for point in self.frontier if point.error > 0]
        return (min(found), max(found)) if found else (0.0, 0.0)

    def error_at(self, size: float) -> float:
        """The error on the frontier at `size` output bytes, between its points along a straight line of its logarithm."""
        at = bisect_left(self.frontier, size, key=lambda point: point.bytes)
        if at == 0 or at == len(self.frontier):
            return self.frontier[min(at, len(self.frontier) - 1)].error
        left, right = self.frontier[at - 1], self.frontier[at]
        share = (size - left.bytes) / (right.bytes - left.bytes)
        if left.error <= 0 or right.error <= 0:
            return left.error + share * (right.error - left.error)
        return exp(log(left.error) + share * (log(right.error) - log(left.error)))

    def bytes_for(self, error: float) -> float:
        """The output bytes from which on the frontier has no more than `error`; the largest where nothing has."""
        at = bisect_left(self.frontier, -error, key=lambda point: -point.error)
        if at == 0 or at == len(self.frontier):
            return float(self.frontier[min(at, len(self.frontier) - 1)].bytes)
        left, right = self.frontier[at - 1], self.frontier[at]
        if right.error <= 0 or error <= 0:
            return float(right.bytes)
        share = (log(left.error) - log(error)) / (log(left.error) - log(right.error))
        return left.bytes + share * (right.bytes - left.bytes)

    def bytes_at(self, bits: float) -> float:
        """About the output bytes of `bits` bits per weight."""
        return self.bytes[0] + (bits - self.bits[0]) * self.weights / 8

    def bits_at(self, size: float) -> float:
        """About the bits per weight of `size` output bytes."""
        return self.bits[0] + 8 * (size - self.bytes[0]) / self.weights if self.weights else self.bits[0]

    def besides(self, room: Memory) -> int:
        """By how much a device has to be larger than the output: the cache of that context, and what a runtime needs."""
        return memory_use(self.config, room).total - self.around


def reach_of(measured: Measured) -> Reach:
    """The Reach of what was measured. It makes a plan for each uniform scheme: for a worker."""
    schemes = {treatment.label: treatment for treatment in measured.treatments if isinstance(treatment, Scheme)}
    uniform = sorted(measured.uniform_points, key=lambda point: (point.bytes, point.error))
    taken = {point.label for point in uniform}
    compared = [(s, e) for s, e in measured.compared.items() if not isinstance(e, str) and s.label not in taken]
    least = measured.plan(measured.smallest.chosen)
    counted = [found for found in measured.sets if _scheme_sizes(found)]
    return Reach(
        frontier=measured.frontier,
        uniform=tuple(uniform),
        schemes=tuple(schemes[point.label] for point in uniform),
        bits=_bits(counted),
        weights=sum(found.weights for found in counted),
        free=sum(not found.fixed for found in measured.sets),
        config=measured.checkpoint.config,
        largest=_largest(measured),
        around=least.output_bytes - sum(file.nbytes - file.header_bytes for file in least.files),
        calibrated=measured.calibrated,
        compared=tuple(compared),
        unfit=tuple(scheme for scheme, error in measured.compared.items() if isinstance(error, str)),
    )


def _largest(measured: Measured) -> int:
    ways = [list(zip(found.choices.errors, found.choices.bytes, strict=True)) for found in measured.sets]
    chosen = [way.index(min(way)) for way in ways]
    return 0 if measured.keeps_all(chosen) else measured.plan(chosen).output_bytes


def _bits(sets: Sequence[MeasuredSet]) -> tuple[float, float]:
    weights = sum(found.weights for found in sets) or 1
    sizes = [_scheme_sizes(found) for found in sets]
    return 8 * sum(map(min, sizes)) / weights, 8 * sum(map(max, sizes)) / weights


def _scheme_sizes(found: MeasuredSet) -> list[int]:
    """The bytes of a set under each scheme that is open to it; none where it is kept whatever is asked for."""
    return [size for size, treatment in zip(found.choices.bytes, found.treatments, strict=True) if treatment != "keep"]
