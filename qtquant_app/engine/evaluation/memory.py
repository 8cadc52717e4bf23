"""How much of two models fits into memory at once."""

from __future__ import annotations

from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.engine.memory import available_bytes

_WIDTH = 4
"""Bytes of a number: both models compute in float32."""
_SPARE = 1 << 30
"""For activations, logits and torch itself."""
_LOGITS = {"cpu": 128 << 20}
"""Bytes that the logits of one batch of one model may take."""
_TOKENS = {"cpu": 2048, "cuda": 8192}
_PICTURES = 8
"""Or sounds, of a batch without text."""


def fit_whole(checkpoint: Checkpoint, device: str) -> bool:
    """Whether two such models in float32 have room on `device`, a tensor being read included."""
    largest = max((tensor.parameters for tensor in checkpoint.tensors), default=0)
    return _WIDTH * (2 * checkpoint.parameters + 2 * largest) + _SPARE <= _room(device)


def _room(device: str) -> int:
    """Bytes that are free; nothing where that is not known."""
    if device == "cpu":
        return available_bytes()
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return available_bytes() // 2 if device == "mps" else 0


def most_tokens(config: Any, kind: str, *, text: bool) -> int:
    """Tokens of a batch, unless one sample has more, so that its logits stay small on a device of that kind; samples where there is
    no text."""
    if not text:
        return _PICTURES
    vocabulary = int(getattr(config.get_text_config(), "vocab_size", 0) or 0)
    most = _TOKENS.get(kind, 4096)
    return min(most, max(1, _LOGITS.get(kind, 1 << 30) // (_WIDTH * max(1, vocabulary))))
