"""The tensors of a checkpoint by the module they belong to, and what its config says of a module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qtquant_app.core.checkpoint import TensorInfo

_WITHIN = ".weight."
"""bitsandbytes names what belongs to a weight `M.weight.absmax`."""


@dataclass(slots=True)
class Module:
    """The stored tensors of one module, by the rest of their names."""

    name: str
    tensors: dict[str, TensorInfo] = field(default_factory=dict)

    def get(self, leaf: str) -> TensorInfo | None:
        return self.tensors.get(leaf)

    def has(self, *leaves: str) -> bool:
        return all(leaf in self.tensors for leaf in leaves)

    def parts(self, **leaves: str) -> tuple[tuple[str, TensorInfo], ...]:
        """(role, tensor) of those leaves that are there."""
        return tuple((role, self.tensors[leaf]) for role, leaf in leaves.items() if leaf in self.tensors)


@dataclass(frozen=True, slots=True)
class Told:
    """What config.json says about the quantization, whatever there is of it. Nothing in it is taken on trust."""

    quantization: Mapping[str, Any]
    dtype: str
    """The dtype of the model, where scales are of another: "BF16" or "F16"."""
    shapes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """What `weight_shape` tensors hold, by module."""
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What bitsandbytes stores as JSON, by module."""

    @property
    def method(self) -> str:
        value = self.quantization.get("quant_method")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        return number(self.quantization, key)

    def names(self, key: str) -> tuple[str, ...]:
        return names(self.quantization, key)


def told_by(
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, int]] | None = None,
    states: Mapping[str, Mapping[str, Any]] | None = None,
) -> Told:
    """What a config says, and small tensors beside; MLX has its words under another key too."""
    found = config.get("quantization_config") or config.get("quantization")
    said = config.get("dtype") or config.get("torch_dtype")
    dtype = "F16" if said == "float16" else "BF16"
    return Told(found if isinstance(found, Mapping) else {}, dtype, shapes or {}, states or {})


def number(data: Mapping[str, Any], key: str) -> int | None:
    """A whole number of the config that a count could be; None where it is anything else."""
    value = data.get(key)
    return value if type(value) is int and -1 <= value < 1 << 31 else None


def names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The texts of a list of the config."""
    value = data.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def by_module(tensors: Iterable[TensorInfo]) -> dict[str, Module]:
    """Every module's tensors."""
    found: dict[str, Module] = {}
    for tensor in tensors:
        head, within, rest = tensor.name.partition(_WITHIN)
        if within:
            name, leaf = head, f"weight.{rest}"
        else:
            name, _, leaf = tensor.name.rpartition(".")
        module = found.get(name)
        if module is None:
            module = found[name] = Module(name)
        module.tensors[leaf] = tensor
    return found
