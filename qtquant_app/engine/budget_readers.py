"""Leaves out of a budget what the readers it is meant for would refuse or decode wrongly, before anything is chosen.

The traps of `core.runtimes` are held against each tensor under each scheme as if what must be alike were so: layers that are
fused move together in a budget anyhow, and experts are joined where a reader wants one scheme for all. That all weights of a
model are alike is not to be had of a mix.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qtquant_app.core.budget import Treatment, treatment_label
from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.facts import facts_of
from qtquant_app.core.plan import Action, TensorPlan
from qtquant_app.core.runtimes import Runtime, Severity, Trap, find
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.allocation import Choices
from qtquant_app.engine.budget_measure import MeasuredSet
from qtquant_app.formats import find as find_format

_KEEP: Action = "keep"
_QUANTIZE: Action = "quantize"
_AVOIDED = (Severity.REFUSES, Severity.WRONG)


@dataclass(frozen=True)
class Readers:
    """Who has to load the mix; those that read another format have no say."""

    names: tuple[str, ...]
    format: str = "compressed-tensors"
    ranks: int = 1
    """Devices that a server shares the model out over."""
    _known: dict[Hashable, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def runtimes(self) -> list[Runtime]:
        return [found for found in map(find, dict.fromkeys(self.names)) if self.format in found.formats]

    def traps(self) -> list[tuple[Runtime, Trap]]:
        """Those that a mix must not spring."""
        return [(one, trap) for one in self.runtimes for trap in one.traps if trap.severity in _AVOIDED]

    def looks_at(self, fact: str) -> bool:
        return any(fact in trap.when or fact in (trap.unless or {}) for _, trap in self.traps())

    def against(self, tensor: TensorPlan, treatment: Treatment, apart: bool = False, alike: bool = False) -> str:
        """What speaks against treating `tensor` so, in a sentence; empty where nothing does.

        `apart` is whether transformers takes the tensor apart, `alike` whether all weights get the same scheme.
        """
        key = (tensor.kind, tensor.shape, tensor.module.rpartition(".")[2], treatment, apart, alike)
        if key not in self._known:
            self._known[key] = self._against(tensor, treatment, apart, alike)
        return self._known[key].replace("{tensor}", tensor.module)

    def _against(self, tensor: TensorPlan, treatment: Treatment, apart: bool, alike: bool) -> str:
        scheme = treatment if isinstance(treatment, Scheme) else None
        planned = replace(tensor, scheme=scheme, action="keep" if scheme is None else "quantize")
        for runtime, trap in self.traps():
            taken = frozenset({tensor.module}) if apart else frozenset[str]()
            known = facts_of([planned], runtime.sharing(self.ranks), taken)[0]
            if trap.springs(replace(known, all_alike=alike)):
                return trap.text
        return ""


def readable(
    sets: Sequence[MeasuredSet], checkpoint: Checkpoint, treatments: Sequence[Treatment], readers: Readers
) -> tuple[MeasuredSet, ...]:
    """`sets` less what any of `readers` would not load. What they load in float only is kept.

    Raises PlanError where nothing is left for a set.
    """
    if not readers.runtimes:
        return tuple(sets)
    used = {t for t in treatments if isinstance(t, Scheme)} | {one.treatments[0] for one in sets if one.fixed} - {
        "keep"
    }
    apart = _taken_apart(checkpoint, treatments, readers)
    found = [one if one.fixed else _without(one, readers, apart, alike=len(used) == 1) for one in sets]
    return tuple(_joined(found) if readers.looks_at("experts_alike") else found)


def _without(one: MeasuredSet, readers: Readers, apart: frozenset[str], alike: bool) -> MeasuredSet:
    plans = list({(t.shape, t.module.rpartition(".")[2], t.module in apart): _planned(t) for t in one.tensors}.values())

    def against(treatment: Treatment) -> str:
        said = (readers.against(plan, treatment, plan.module in apart, alike) for plan in plans)
        return next((text for text in said if text), "")

    verdicts = {treatment: against(treatment) for treatment in one.treatments}
    at = [i for i, treatment in enumerate(one.treatments) if not verdicts[treatment]]
    why = next((text for text in verdicts.values() if text), "")
    if not why or any(one.treatments[i] != "keep" for i in at):
        return one.with_choices(at)
    if against("keep"):
        raise PlanError(
            f"nothing that is allowed can be done to {one.tensors[0].name}: {why}",
            hint="allow another scheme with --allow, or leave that --runtime out",
            code="budget",
        )
    sizes = [sum(tensor.nbytes for tensor in one.tensors)]
    return replace(one, treatments=("keep",), choices=Choices(sizes, [0.0]), fixed=why)


def _planned(tensor: TensorInfo, scheme: Scheme | None = None) -> TensorPlan:
    kind, action = tensor.kind.value, _KEEP if scheme is None else _QUANTIZE
    return TensorPlan(
        tensor.name, tensor.module, kind, tensor.dtype, tensor.shape, action, scheme, 0, "", tensor.nbytes
    )


def _taken_apart(checkpoint: Checkpoint, treatments: Iterable[Treatment], readers: Readers) -> frozenset[str]:
    """The modules that transformers takes apart while loading; asked of a mix of all that is allowed, as it depends on that."""
    if not readers.looks_at("taken_apart"):
        return frozenset()
    schemes = [treatment for treatment in treatments if isinstance(treatment, Scheme)]
    quantizable = [t for t in checkpoint.tensors if t.quantizable]
    given: Mapping[str, Scheme] = {t.name: schemes[i % len(schemes)] for i, t in enumerate(quantizable)}
    plans = [_planned(t, given.get(t.name)) for t in checkpoint.tensors]
    return find_format(readers.format).taken_apart(checkpoint, plans)


def _joined(sets: Sequence[MeasuredSet]) -> list[MeasuredSet]:
    """All experts of the model as one set. Raises PlanError where nothing that is allowed fits them all."""
    experts = [one for one in sets if not one.fixed and one.tensors[0].kind == Kind.EXPERT]
    if len(experts) < 2:
        return list(sets)
    shared = [t for t in experts[0].treatments if all(t in other.treatments for other in experts)]
    if not shared:
        labels = ", ".join(treatment_label(treatment) for treatment in experts[0].treatments)
        raise PlanError(
            f"no scheme that is allowed fits all experts, which must share one: {labels} do not",
            hint="allow another scheme with --allow",
            code="budget",
        )
    parts = [[one.treatments.index(treatment) for treatment in shared] for one in experts]
    sizes = [sum(one.choices.bytes[at[i]] for one, at in zip(experts, parts, strict=True)) for i in range(len(shared))]
    errors = [
        sum(one.choices.errors[at[i]] for one, at in zip(experts, parts, strict=True)) for i in range(len(shared))
    ]
    tensors = tuple(tensor for one in experts for tensor in one.tensors)
    whole = MeasuredSet(tensors, tuple(shared), Choices(sizes, errors))
    joined = {id(one) for one in experts[1:]}
    return [whole if one is experts[0] else one for one in sets if id(one) not in joined]
