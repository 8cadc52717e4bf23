"""Chooses tensors by what they are: their kind, their place in a block, the number of their block, their error.

Each function narrows a choice, so that they combine; all start from what a rule can be for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import nsmallest
from math import isnan

from qtquant_app.core.blocks import spot
from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import UsageError
from qtquant_app.core.patterns import compiled

Chosen = tuple[TensorInfo, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be chosen; what is left empty does not narrow."""

    kind: str = ""
    place: str = ""
    blocks: tuple[int, int] | None = None
    """The numbers of the first and the last block."""
    stack: str | None = None
    """Of this stack of blocks alone, where places or blocks are asked for."""
    worst: int | None = None
    below: float | None = None

    @property
    def by_error(self) -> bool:
        return self.worst is not None or self.below is not None


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to choose from, each with the number of its tensors."""

    kinds: Mapping[str, int]
    places: Mapping[str, int]
    blocks: tuple[int, int] | None


def survey(tensors: Chosen) -> Survey:
    """What `tensors` can be chosen by."""
    kinds = Counter(tensor.kind.value for tensor in tensors)
    return Survey(kinds, places(tensors), block_range(tensors))


def choose(tensors: Chosen, wish: Wish, sqnr_db: Mapping[str, float] | None = None) -> Chosen:
    """Those of `tensors` that are all that `wish` asks for, by error the worst first; `sqnr_db` as `by_error` has it.

    Raises UsageError where a part of the wish names nothing.
    """
    found = by_kind(tensors, wish.kind) if wish.kind else tensors
    if wish.place and found:
        found = by_place(found, wish.place, wish.stack)
    if wish.blocks and found:
        found = by_blocks(found, *wish.blocks, wish.stack)
    if wish.by_error and found:
        found = by_error(found, sqnr_db or {}, worst=wish.worst, below=wish.below)
    return found


def choosable(checkpoint: Checkpoint) -> Chosen:
    """All tensors that a rule can be for, in the checkpoint's order."""
    names = checkpoint.quantizable_names
    return tuple(tensor for tensor in checkpoint.tensors if tensor.name in names)


def by_kind(tensors: Iterable[TensorInfo], kind: str) -> Chosen:
    """Those of a kind, such as "linear" or "expert". Raises UsageError where no kind is called so."""
    known = [member.value for member in Kind]
    if kind not in known:
        raise UsageError(f"there is no kind {kind!r}", hint=f"the kinds are {', '.join(known)}", code="kind")
    return tuple(tensor for tensor in tensors if tensor.kind == kind)


def places(tensors: Iterable[TensorInfo]) -> Mapping[str, int]:
    """The places inside blocks, such as `mlp.down_proj`, in order of appearance, each with the number of its tensors.

    The experts of a block share a place: `mlp.experts.*.down_proj`.
    """
    return Counter(path for tensor in tensors if (path := _path(tensor.name)) is not None)


def by_place(tensors: Iterable[TensorInfo], place: str, stack: str | None = None) -> Chosen:
    """Those at `place` of their blocks; where no place is called exactly so, those at every place that the glob names.

    `stack`, where given, leaves those of one stack of blocks, such as `model.layers`. Raises UsageError with the nearest
    places where nothing is there.
    """
    listed = tuple(tensors)
    at = [_path(tensor.name) for tensor in listed]
    there = dict.fromkeys(path for path in at if path is not None)
    if place in there:
        wanted = {place}
    else:
        named = compiled(place).fullmatch
        wanted = {path for path in there if named(path)}
    if not wanted:
        near = get_close_matches(place, there, 3, 0.5) or list(there)[:3]
        hint = f"places are called like {', '.join(near)}" if near else "none of these tensors is in a block"
        raise UsageError(f"there is no {place!r} in any block", hint=hint, code="place")
    found = (tensor for tensor, path in zip(listed, at, strict=True) if path in wanted)
    return tuple(found) if stack is None else tuple(tensor for tensor in found if spot(tensor.name).stack == stack)


def _path(name: str) -> str | None:
    """The place of a tensor in its block; None outside of all blocks."""
    found = spot(name)
    return None if found.depth is None else found.path


def block_range(tensors: Iterable[TensorInfo], stack: str | None = None) -> tuple[int, int] | None:
    """The numbers of the first and the last block; None where none of the tensors is in a block."""
    found = (spot(tensor.name) for tensor in tensors)
    depths = {place.depth for place in found if place.depth is not None and stack in (None, place.stack)}
    return (min(depths), max(depths)) if depths else None


def by_blocks(tensors: Iterable[TensorInfo], first: int, last: int, stack: str | None = None) -> Chosen:
    """Those in the blocks from number `first` to `last`, both included. Raises UsageError where there is none."""
    listed = tuple(tensors)
    numbered = ((tensor, spot(tensor.name)) for tensor in listed)
    chosen = tuple(
        tensor
        for tensor, place in numbered
        if place.depth is not None and first <= place.depth <= last and stack in (None, place.stack)
    )
    if not chosen:
        there = block_range(listed, stack)
        hint = f"the blocks go from {there[0]} to {there[1]}" if there else "none of these tensors is in a block"
        raise UsageError(f"there is no block from {first} to {last}", hint=hint, code="blocks")
    return chosen


def by_error(
    tensors: Iterable[TensorInfo], sqnr_db: Mapping[str, float], *, worst: int | None = None, below: float | None = None
) -> Chosen:
    """The `worst` so many by error, those `below` so many dB of SQNR, or both at once; the worst first.

    `sqnr_db` says what is known, by the names of tensors; a tensor of which nothing is known is not chosen. What has no
    finite error at all (NaN) is worse than anything. Raises UsageError for a count below 1, or without either.
    """
    if worst is None and below is None:
        raise UsageError(
            "a choice by error needs a number or a limit", hint="say how many, or how many dB", code="worst"
        )
    if worst is not None and worst < 1:
        raise UsageError(f"the worst {worst} are none", hint="choose 1 or more", code="worst")
    known = ((tensor, sqnr_db[tensor.name]) for tensor in tensors if tensor.name in sqnr_db)
    rated = [(float("-inf") if isnan(value) else value, at, tensor) for at, (tensor, value) in enumerate(known)]
    if below is not None:
        rated = [rating for rating in rated if rating[0] < below]
    ranked = sorted(rated) if worst is None else nsmallest(worst, rated)
    return tuple(tensor for _, _, tensor in ranked)
