"""What a reader looks at in a planned tensor: facts by name, for the tables of `core.runtimes` to be held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
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
    dtype: str
    """Of the weight in the source."""
    quantized: bool
    type: str | None
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
    from_stack: bool = False
    """It is one expert's, and transformers knows the experts of this family in stacks only."""


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
    where = scheme.strategy, scheme.group_size
    return scheme.type, scheme.bits, *where, scheme.symmetric, scheme.activations, scheme.layout


def looked_at(tensors: Iterable[TensorPlan]) -> list[TensorPlan]:
    """The weights that have facts: matrices of linear layers, experts and heads, quantized or not."""
    return [t for t in tensors if len(t.shape) == 2 and (t.scheme is not None or _could_be(t))]


def _could_be(tensor: TensorPlan) -> bool:
    return tensor.kind in _LOOKED_AT and tensor.name.endswith("weight")


def facts_of(
    tensors: Sequence[TensorPlan],
    sharing: Sharing,
    taken_apart: frozenset[str] = frozenset(),
    from_stacks: frozenset[str] = frozenset(),
) -> list[Facts]:
    """The facts of each of `tensors`, which `looked_at` has chosen; tensors that have the same share one object."""
    layouts = _layouts(tensors)
    fused = _alike(tensors, layouts, fused_key(sharing))
    blocks = _alike(tensors, layouts, block_key)
    quantized = [(t, lies) for t, lies in zip(tensors, layouts, strict=True) if t.scheme is not None]
    experts = len({lies for t, lies in quantized if t.kind == Kind.EXPERT}) <= 1
    everything = len({lies for _, lies in quantized}) <= 1
    known: dict[Hashable, Facts] = {}
    found = []
    for t, fused_alike, block_alike in zip(tensors, fused, blocks, strict=True):
        columns, rows, apart = columns_of_rank(t, sharing), t.shape[0], t.module in taken_apart
        stacked = t.name in from_stacks
        key = (t.kind, t.dtype, id(t.scheme), columns, rows % 32, fused_alike, block_alike, apart, stacked)
        facts = known.get(key)
        if facts is None:
            facts = known[key] = _facts(t, columns, fused_alike, block_alike, experts, everything, apart, stacked)
        found.append(facts)
    return found


def _facts(
    tensor: TensorPlan,
    columns: int,
    fused: bool,
    block: bool,
    experts: bool,
    everything: bool,
    apart: bool,
    stacked: bool,
) -> Facts:
    scheme, rows = tensor.scheme, tensor.shape[0]
    size = (scheme.group_size or CHANNEL) if scheme else None
    return Facts(
        kind=str(tensor.kind),
        dtype=tensor.dtype,
        quantized=scheme is not None,
        type=scheme.type if scheme else None,
        bits=scheme.bits if scheme else None,
        symmetric=scheme.symmetric if scheme else None,
        strategy=scheme.strategy if scheme else None,
        group=size,
        activations=scheme.activations if scheme else None,
        fused_alike=fused,
        block_alike=block,
        experts_alike=experts,
        all_alike=everything,
        groups_whole=columns > 0 and (not size or columns % size == 0),
        rows_by_32=rows % 32 == 0,
        columns_by_32=columns % 32 == 0,
        group_even=not size or size % 2 == 0,
        taken_apart=apart,
        from_stack=stacked,
    )


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


def _layouts(tensors: Iterable[TensorPlan]) -> list[Hashable]:
    """`layout` of each; that of a scheme object is made once."""
    known: dict[int, Hashable] = {}
    found = []
    for tensor in tensors:
        scheme = tensor.scheme
        if id(scheme) not in known:
            known[id(scheme)] = layout(scheme)
        found.append(known[id(scheme)])
    return found


def _alike(tensors: Sequence[TensorPlan], layouts: Sequence[Hashable], key: Key) -> list[bool]:
    """Whether all tensors of the same key lie alike, for each."""
    usual, _ = Counter(layouts).most_common(1)[0] if layouts else (None, 0)
    if all(key(tensor) is None for tensor, lies in zip(tensors, layouts, strict=True) if lies != usual):
        return [True] * len(layouts)  # only what stands alone lies otherwise
    groups: dict[Hashable, set[Hashable]] = {}
    keys = list(map(key, tensors))
    for own, lies in zip(keys, layouts, strict=True):
        if own is not None:
            groups.setdefault(own, set()).add(lies)
    return [own is None or len(groups[own]) == 1 for own in keys]
