"""What is known of the tensors besides their headers: the scheme that the plan gives them, their errors, what is odd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from itertools import compress
from math import fsum

from qtquant_app.core.plan import Plan
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import Flag
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.scan_digest import Digest

KEEP = "keep"
MIXED = "mixed"

_SUMS = 5
"""Fields of ErrorSums that a scan knows: what is added up here."""


class Findings:
    """Answers for one tensor and for many at once; nothing is worked out before it is asked."""

    def __init__(self) -> None:
        self._planned: dict[str, Scheme | None] = {}
        self._errors: dict[str, list[tuple[Scheme, ErrorSums]]] = {}
        self._scan: Digest | None = None
        self.flags: Mapping[str, tuple[Flag, ...]] = {}
        """What is odd about the tensors that have something odd."""

    def set_plan(self, plan: Plan | None) -> None:
        self._planned = {tensor.name: tensor.scheme for tensor in plan.tensors} if plan else {}

    def add(self, name: str, scheme: Scheme, errors: ErrorSums) -> None:
        others = [known for known in self._errors.get(name, ()) if known[0] != scheme]
        self._errors[name] = [*others, (scheme, errors)]

    def set_scan(self, scan: Digest | None) -> None:
        """Answers from `scan` too: it is looked into, not copied."""
        self._scan = scan
        self.flags = scan.flags if scan else {}

    def set_flags(self, flags: Mapping[str, tuple[Flag, ...]]) -> None:
        self.flags = {name: found for name, found in flags.items() if found}

    def errors(self, name: str, scheme: Scheme) -> ErrorSums | None:
        """What is known of a tensor under a scheme."""
        for known, errors in self._errors.get(name, ()):
            if known is scheme or known == scheme:
                return errors
        return self._scan.error(name, scheme) if self._scan else None

    def scheme_of(self, name: str) -> str:
        """The label of the scheme that the plan gives a tensor, or "keep"; empty without a plan."""
        scheme = self._planned.get(name)
        return scheme.label if scheme else KEEP if name in self._planned else ""

    def errors_of(self, name: str) -> ErrorSums | None:
        """The errors of a tensor under the scheme that the plan gives it."""
        scheme = self._planned.get(name)
        return self.errors(name, scheme) if scheme else None

    @property
    def any_errors(self) -> bool:
        """Whether any error is known, of whatever scheme."""
        return bool(self._errors) or self._scan is not None

    def sqnr_db(self, names: Iterable[str]) -> dict[str, float]:
        """The SQNR of each of `names` of which it is known under the scheme that the plan gives it."""
        known = ((name, self.errors_of(name)) for name in names)
        return {name: errors.sqnr_db for name, errors in known if errors is not None}

    def together(self, names: Sequence[str]) -> tuple[str, ErrorSums | None]:
        """The scheme and errors of several tensors; what is kept does not make them mixed."""
        schemes = list(map(self._planned.get, names))
        numbers = list(map(id, schemes))  # hashing each scheme takes longer
        found = {number: schemes[numbers.index(number)] for number in set(numbers)}
        rows: list[list[float]] = []
        for number, scheme in found.items():
            if scheme is not None:
                rows += self._rows(list(compress(names, map(number.__eq__, numbers))), scheme)
        return self._label(names, {scheme.label for scheme in found.values() if scheme}), _added(rows)

    def _rows(self, names: list[str], scheme: Scheme) -> list[list[float]]:
        """What is known of them under `scheme`: the fields of ErrorSums of each. A scan is asked for all at once."""
        rows: list[list[float]] = []
        if not self._errors.keys().isdisjoint(names):
            own = [errors for name in names if name in self._errors and (errors := self.errors(name, scheme))]
            rows += [list(astuple(errors)[:_SUMS]) for errors in own]
            names = [name for name in names if name not in self._errors]
        return rows + self._scan.errors(names, scheme).tolist() if self._scan is not None else rows

    def _label(self, names: Iterable[str], labels: set[str]) -> str:
        if len(labels) > 1:
            return MIXED
        return next(iter(labels), KEEP if any(name in self._planned for name in names) else "")


def _added(rows: list[list[float]]) -> ErrorSums | None:
    """As ErrorSums.added, of rows of their fields: making a thousand of them for a block takes longer than to add them."""
    if not rows:
        return None
    weights, errors, signals, dequantized, largest = zip(*rows, strict=True)
    return ErrorSums(int(sum(weights)), fsum(errors), fsum(signals), fsum(dequantized), max(largest))
