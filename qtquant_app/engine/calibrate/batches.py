"""Samples as batches that a model runs well on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Batch = dict[str, "Tensor"]

TOKENS = {"cpu": 1024, "cuda": 8192}
"""Of a batch, at most, unless one sample has more."""

PROBE = 64
"""Tokens of the small batch that foldings are looked for with."""

_BY_TOKEN = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids", "decoder_input_ids"})


def batches(
    samples: Sequence[Mapping[str, Tensor]], device: torch.device, dtype: torch.dtype, most: int | None = None
) -> list[Batch]:
    """The samples in order, those that follow each other and are of one shape together, in `dtype` where they are floats.

    A batch has `most` tokens, or as many as suit the device, unless one sample has more.
    """
    return [_joined(group, device, dtype) for group in _groups(samples, most or TOKENS.get(device.type, 4096))]


def small_batch(sample: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Batch:
    """The beginning of one sample: its first tokens, and all of its pictures and sounds."""
    return _joined(
        [{key: value[:, :PROBE] if key in _BY_TOKEN else value for key, value in sample.items()}], device, dtype
    )


def tokens_of(batch: Mapping[str, Tensor]) -> int:
    """Tokens of a batch; of pictures and sounds, how many there are."""
    found = [value.numel() for key, value in batch.items() if key in ("input_ids", "decoder_input_ids")]
    return max(found) if found else max(len(value) for value in batch.values())


def _groups(samples: Sequence[Mapping[str, Tensor]], most: int) -> Iterator[list[Mapping[str, Tensor]]]:
    group: list[Mapping[str, Tensor]] = []
    for sample in samples:
        full = group and tokens_of(sample) * (len(group) + 1) > most
        if group and (full or _shapes(sample) != _shapes(group[0])):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def _shapes(sample: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in sample.items()}


def _joined(group: Sequence[Mapping[str, Tensor]], device: torch.device, dtype: torch.dtype) -> Batch:
    import torch

    joined = {key: torch.cat([sample[key] for sample in group]) for key in group[0]}
    return {key: value.to(device, dtype if value.is_floating_point() else value.dtype) for key, value in joined.items()}
