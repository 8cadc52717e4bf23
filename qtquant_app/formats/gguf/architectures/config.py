"""What a model's config.json says, under the names that transformers has used for it over time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import shown

_MOST_LAYERS = 1 << 14


class Config(Fields):
    """config.json, with the entries of its `text_config` in place of its own, and with `defaults` where it says nothing.

    Every method raises ValueError naming the key where the entry is missing or of another kind.
    """

    def __init__(self, data: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})) -> None:
        text = data.get("text_config")
        merged = {**defaults, **data, **(text if isinstance(text, Mapping) else {})}
        merged["architectures"] = data.get("architectures")
        super().__init__({key: value for key, value in merged.items() if value is not None})
        self._all = merged

    def has(self, key: str) -> bool:
        """Whether `key` is there and not null."""
        return self._all.get(key) is not None

    def raw(self, key: str, default: Any = None) -> Any:
        """The entry as it is, whatever it is."""
        found = self._all.get(key)
        return default if found is None else found

    def count_or(self, key: str, default: int) -> int:
        return self.count(key) if self.has(key) else default

    def number_or(self, key: str, default: float) -> float:
        return self.number(key) if self.has(key) else default

    def positive(self, key: str) -> int:
        found = self.count(key)
        if not found:
            raise ValueError(f"{key} must not be 0")
        return found

    @cached_property
    def layers(self) -> int:
        found = self.positive("num_hidden_layers")
        if found > _MOST_LAYERS:
            raise ValueError(f"num_hidden_layers says {found:,}, more than any model has")
        return found

    @cached_property
    def heads(self) -> int:
        return self.positive("num_attention_heads")

    @cached_property
    def kv_heads(self) -> int:
        return self.positive("num_key_value_heads") if self.has("num_key_value_heads") else self.heads

    @cached_property
    def head_dim(self) -> int:
        """Width of a head, said or the hidden width over the heads."""
        return self.positive("head_dim") if self.has("head_dim") else self.positive("hidden_size") // self.heads

    @cached_property
    def experts(self) -> int:
        """Experts of a mixture; 0 where there is none."""
        for key in ("num_local_experts", "num_experts"):
            if self.has(key):
                return self.count(key)
        return 0

    @cached_property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        found = self.raw("tie_word_embeddings", False)
        if not isinstance(found, bool):
            raise ValueError(f"tie_word_embeddings must be true or false, not {shown(found)}")
        return found

    @cached_property
    def layer_types(self) -> tuple[str, ...]:
        """The kind of attention of each layer, where it is said."""
        found = self.raw("layer_types", [])
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise ValueError("layer_types must be a list of texts")
        return tuple(found)
