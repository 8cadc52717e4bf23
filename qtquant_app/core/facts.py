"""What a reader looks at in a planned tensor: facts by name, for the tables of `core.runtimes` to be held against."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme

CHANNEL = 0
"""Stands for one scale a row among group sizes."""

_LOOKED_AT = frozenset({Kind.LINEAR, Kind.EXPERT, Kind.HEAD})

Key = Callable[[TensorPlan], Hashable]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one weight of a linear layer, an expert or a head. Those of its scheme are None where it is kept."""

    kind: str
    quantized: bool
    bits: int | None
    symmetric: bool | None
    strategy: str | None
    group: int | None
    """Columns of a group; CHANNEL for a whole row or tensor."""
    activations: str | None
    fused_alike: bool
    """All weights that the reader fuses with it lie alike on disk, or all stay in float."""
    block_alike: bool
    """So do all experts of its block."""
    experts_alike: bool
    """All quantized experts of the model lie alike."""
    all_alike: bool
    """All quantized weights of the model lie alike."""
    groups_whole: bool
    """Each rank's share of the columns is made of whole groups."""
    rows_by_32: bool
    columns_by_32: bool
    group_even: bool
    taken_apart: bool
    """transformers takes it apart, or puts it together with others, while loading."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a reader lays a model out: names that it fuses, layers whose columns it splits over ranks, and how many of those."""

    fused: Sequence[Sequence[str]] = ()
    columns_split: Sequence[str] = ()
    ranks: int = 1


def layout(scheme: Scheme | None) -> Hashable:
    """What of a scheme a reader can see: all but the method that found the scales. None where the weight is kept."""
    if scheme is None:
        return None
    return scheme.bits, scheme.strategy, scheme.group_size, scheme.symmetric, scheme.activations


def looked_at(tensors: Iterable[TensorPlan]) -> list[TensorPlan]:
    """The weights that have facts: matrices of linear layers, experts and heads, quantized or not."""
    return [t for t in tensors if len(t.shape) == 2 and (t.scheme is not None or _could_be(t))]


def _could_be(tensor: TensorPlan) -> bool:
    return tensor.kind in _LOOKED_AT and tensor.name.endswith("weight")


def facts_of(tensors: Sequence[TensorPlan], sharing: Sharing, taken_apart: frozenset[str] = frozenset()) -> list[Facts]:
    """The facts of each of `tensors`, which `looked_at` has chosen; tensors that have the same share one object."""
    quantized = [t for t in tensors if t.scheme is not None]
    fused = alike_by(tensors, fused_key(sharing))
    blocks = alike_by(tensors, block_key)
    experts = len({layout(t.scheme) for t in quantized if t.kind == Kind.EXPERT}) <= 1
    everything = len({layout(t.scheme) for t in quantized}) <= 1
    known: dict[Hashable, Facts] = {}
    found = []
    for t in tensors:
        columns, rows = columns_of_rank(t, sharing), t.shape[0]
        key = (t.kind, t.scheme, columns, rows % 32, fused[t.name], blocks[t.name], t.module in taken_apart)
        if key not in known:
            scheme = t.scheme
            size = (scheme.group_size or CHANNEL) if scheme else None
            known[key] = Facts(
                kind=str(t.kind),
                quantized=scheme is not None,
                bits=scheme.bits if scheme else None,
                symmetric=scheme.symmetric if scheme else None,
                strategy=scheme.strategy if scheme else None,
                group=size,
                activations=scheme.activations if scheme else None,
                fused_alike=fused[t.name],
                block_alike=blocks[t.name],
                experts_alike=experts,
                all_alike=everything,
                groups_whole=columns > 0 and (not size or columns % size == 0),
                rows_by_32=rows % 32 == 0,
                columns_by_32=columns % 32 == 0,
                group_even=not size or size % 2 == 0,
                taken_apart=t.module in taken_apart,
            )
        found.append(known[key])
    return found


def columns_of_rank(tensor: TensorPlan, sharing: Sharing) -> int:
    """Input columns that one rank holds; 0 where they cannot be shared out evenly."""
    columns = tensor.shape[1]
    if sharing.ranks == 1 or tensor.module.rpartition(".")[2] not in sharing.columns_split:
        return columns
    return 0 if columns % sharing.ranks else columns // sharing.ranks


def fused_key(sharing: Sharing) -> Key:
    """Tells which tensors a reader fuses into one; None for a tensor that stands alone. Experts are `block_key`'s."""
    sets = {name: number for number, names in enumerate(sharing.fused) for name in names}

    def key(tensor: TensorPlan) -> Hashable:
        owner, _, leaf = tensor.module.rpartition(".")
        if tensor.kind == Kind.EXPERT or leaf not in sets:
            return None
        return owner, sets[leaf]

    return key


def block_key(tensor: TensorPlan) -> Hashable:
    """The layer of experts that an expert belongs to; None for anything else."""
    return tensor.module.rpartition(".experts.")[0] if tensor.kind == Kind.EXPERT else None


def model_key(tensor: TensorPlan) -> Hashable:
    """The same for every quantized expert of a model; None for anything else."""
    return Kind.EXPERT if tensor.kind == Kind.EXPERT and tensor.scheme is not None else None


def alike_by(tensors: Iterable[TensorPlan], key: Key) -> Mapping[str, bool]:
    """Whether all tensors of the same key lie alike, by the name of each."""
    groups: dict[Hashable, set[Hashable]] = {}
    keys = {}
    for tensor in tensors:
        keys[tensor.name] = own = key(tensor)
        if own is not None:
            groups.setdefault(own, set()).add(layout(tensor.scheme))
    return {name: own is None or len(groups[own]) == 1 for name, own in keys.items()}
