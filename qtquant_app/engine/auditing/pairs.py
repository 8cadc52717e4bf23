"""Which tensor of a quantized checkpoint is which of its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.matrix import Matrix, matrix_of, slices

_PREFIXES = ("model.", "language_model.", "model.language_model.", "transformer.")
_BUFFERS = (".inv_freq", ".masked_bias", ".position_ids")
"""What is computed anew, and no file needs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One tensor of the base and what stands for it in the other checkpoint."""

    base: TensorInfo
    other: TensorInfo

    @property
    def bytes(self) -> int:
        """Bytes it takes in the quantized checkpoint."""
        return self.other.stored_bytes

    def matrices(self) -> list[tuple[Matrix, Matrix]]:
        """Both as matrices, slice by slice where they are stacks. Raises PlanError where their numbers cannot be read."""
        if slices(self.base) > 1:
            return [
                (matrix_of(self.base, at), matrix_of(replace(self.other, kind=self.base.kind), at))
                for at in range(slices(self.base))
            ]
        return [(matrix_of(self.base), matrix_of(self.other))]


@dataclass(frozen=True, slots=True)
class Matched:
    """The pairs in the base's order, what the other lacks, what it has besides, and pairs whose shapes differ."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    differing: tuple[Pair, ...]


def matched(other: Checkpoint, base: Checkpoint) -> Matched:
    """Every tensor of `base` with its counterpart, found by its name."""
    pairs: list[Pair] = []
    differing: list[Pair] = []
    missing: list[str] = []
    used: set[str] = set()
    for tensor in base.tensors:
        if tensor.tied_to is not None or tensor.name.endswith(_BUFFERS):
            continue
        pair = _by_name(other.by_name, tensor)
        if pair is None:
            if not (_tied_head(tensor, base) or _tied_head(tensor, other)):
                missing.append(tensor.name)
            continue
        used.add(pair.other.name)
        (pairs if pair.base.shape == pair.other.shape else differing).append(pair)
    extra = tuple(
        t.name for t in other.tensors if t.name not in used and t.tied_to is None and not t.name.endswith(_BUFFERS)
    )
    return Matched(tuple(pairs), tuple(missing), extra, tuple(differing))


def _by_name(there: Mapping[str, TensorInfo], tensor: TensorInfo) -> Pair | None:
    """The tensor of that name, with or without what libraries put before names."""
    names = [tensor.name, *(prefix + tensor.name for prefix in _PREFIXES)]
    names += [tensor.name.removeprefix(prefix) for prefix in _PREFIXES if tensor.name.startswith(prefix)]
    found = next((there[name] for name in names if name in there), None)
    return None if found is None else Pair(tensor, found)


def _tied_head(tensor: TensorInfo, checkpoint: Checkpoint) -> bool:
    return tensor.module == "lm_head" and bool(checkpoint.config.get("tie_word_embeddings"))
