"""What of a config.json a model may be built from: its own words, no code that came along, and no more parts than it can fill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_COUNTS = re.compile(r"layer|expert|depth|block|stage|head|branch|codebook|group|level", re.IGNORECASE)
_MOST_PARTS = 2_000
_MOST = 1 << 31
_FOREIGN = frozenset(
    {"auto_map", "custom_pipelines", "quantization_config", "use_pretrained_backbone", "backbone_kwargs"}
)
"""Keys that name code of the checkpoint's own, other repositories, or how weights were packed."""


def modest(config: Mapping[str, Any], tensors: int) -> bool:
    """Whether a model of `config` has about as many parts as a checkpoint of so many tensors could fill.

    Building one for a config that says a billion layers would never end.
    """
    left: list[tuple[str, Any]] = list(config.items())
    while left:
        key, value = left.pop()
        if isinstance(value, Mapping):
            left += value.items()
        elif isinstance(value, list):
            left += ((key, item) for item in value)
        elif isinstance(value, int):
            most = max(_MOST_PARTS, tensors) if _COUNTS.search(str(key)) else _MOST
            if abs(value) > most:
                return False
    return True


def own_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` less all that would make transformers look for code or weights elsewhere, at any depth."""
    return {key: _own(value) for key, value in config.items() if key not in _FOREIGN}


def _own(value: Any) -> Any:
    if isinstance(value, Mapping):
        return own_words(value)
    return [_own(item) for item in value] if isinstance(value, list) else value
