"""What is known of the tensors besides their headers: the scheme that the plan gives them, their errors, what is odd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qtquant_app.core.plan import Plan
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import Flag
from qtquant_app.core.scheme import Scheme

KEEP = "keep"
MIXED = "mixed"


class Findings:
    """Answers for one tensor and for many at once; nothing is worked out before it is asked."""

    def __init__(self) -> None:
        self._planned: dict[str, Scheme | None] = {}
        self._errors: dict[str, list[tuple[Scheme, ErrorSums]]] = {}
        self.flags: Mapping[str, tuple[Flag, ...]] = {}
        """What is odd about the tensors that have something odd."""

    def set_plan(self, plan: Plan | None) -> None:
        self._planned = {tensor.name: tensor.scheme for tensor in plan.tensors} if plan else {}

    def add(self, name: str, scheme: Scheme, errors: ErrorSums) -> None:
        others = [known for known in self._errors.get(name, ()) if known[0] != scheme]
        self._errors[name] = [*others, (scheme, errors)]

    def set_flags(self, flags: Mapping[str, tuple[Flag, ...]]) -> None:
        self.flags = {name: found for name, found in flags.items() if found}

    def errors(self, name: str, scheme: Scheme) -> ErrorSums | None:
        """What is known of a tensor under a scheme."""
        for known, errors in self._errors.get(name, ()):
            if known is scheme or known == scheme:
                return errors
        return None

    def scheme_of(self, name: str) -> str:
        """The label of the scheme that the plan gives a tensor, or "keep"; empty without a plan."""
        scheme = self._planned.get(name)
        return scheme.label if scheme else KEEP if name in self._planned else ""

    def errors_of(self, name: str) -> ErrorSums | None:
        """The errors of a tensor under the scheme that the plan gives it."""
        scheme = self._planned.get(name)
        return self.errors(name, scheme) if scheme else None

    def together(self, names: Sequence[str]) -> tuple[str, ErrorSums | None]:
        """The scheme and errors of several tensors; what is kept does not make them mixed."""
        known = [errors for name in names if name in self._errors and (errors := self.errors_of(name)) is not None]
        return self._label(names), ErrorSums.added(known) if known else None

    def _label(self, names: Iterable[str]) -> str:
        if not self._planned:
            return ""
        objects = {id(scheme): scheme for scheme in map(self._planned.get, names)}  # hashing each scheme takes longer
        labels = {scheme.label for scheme in objects.values() if scheme}
        if len(labels) > 1:
            return MIXED
        return next(iter(labels), KEEP if any(name in self._planned for name in names) else "")
