"""Rotary position embeddings: what config.json says of them, as metadata and as tensors of factors.

Formulas: the scaling functions of transformers' modeling_rope_utils; names: llama.cpp's metadata.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.values import Value, f32, text, u32

Factors = NDArray[np.float32]

_YARN = {"extrapolation_factor": "ext_factor", "beta_fast": "beta_fast", "beta_slow": "beta_slow"}
_THETA = 10_000.0


class Rope:
    """The parameters of the layers that see everything, and the base of those with a window.

    transformers 5 writes `rope_parameters`, one object or one for each kind of layer; before, there were `rope_theta`,
    `rope_local_base_freq` and `rope_scaling`.
    """

    def __init__(self, config: Config) -> None:
        said = config.raw("rope_parameters", config.raw("rope_scaling", {}))
        if not isinstance(said, Mapping):
            raise ValueError(f"rope_parameters must be an object, not {shown(said)}")
        apart = any(isinstance(said.get(kind), Mapping) for kind in ("full_attention", "sliding_attention"))
        main = said.get("full_attention") or {} if apart else said
        local = said.get("sliding_attention") or {} if apart else {}
        self.parameters: Mapping[str, Any] = {key: value for key, value in main.items() if value is not None}
        self.fields = Fields(self.parameters)
        self.type = str(self.parameters.get("rope_type", self.parameters.get("type", "default"))).lower()
        self.theta = self._number("rope_theta", config.number_or("rope_theta", _THETA))
        self.local_theta = _local(config, local)

    def _number(self, key: str, default: float) -> float:
        return self.fields.number(key) if key in self.parameters else default

    def metadata(self, arch: str) -> dict[str, Value]:
        """The `ARCH.rope.*` of it. Raises ValueError for a scaling that llama.cpp does not know."""
        found: dict[str, Value] = {f"{arch}.rope.freq_base": f32(self.theta)}
        if self.local_theta is not None:
            found[f"{arch}.rope.freq_base_swa"] = f32(self.local_theta)
        if self.type in ("default", "llama3"):
            return found
        if self.type == "linear":
            return found | self._scaling(arch, "linear")
        if self.type == "yarn":
            return found | self._yarn(arch)
        if self.type in ("longrope", "su"):
            return found | {f"{arch}.rope.scaling.type": text("longrope")}
        raise ValueError(f"rope_type says {shown(self.type)}, which llama.cpp does not know")

    def _scaling(self, arch: str, kind: str) -> dict[str, Value]:
        return {
            f"{arch}.rope.scaling.type": text(kind),
            f"{arch}.rope.scaling.factor": f32(self.fields.number("factor")),
        }

    def _yarn(self, arch: str) -> dict[str, Value]:
        found = self._scaling(arch, "yarn")
        original = self.fields.count("original_max_position_embeddings")
        found[f"{arch}.rope.scaling.original_context_length"] = u32(original)
        for key, name in _YARN.items():
            if key in self.parameters:
                found[f"{arch}.rope.scaling.yarn_{name}"] = f32(self.fields.number(key))
        for key in ("attention_factor", "attn_factor"):
            if key in self.parameters:
                found[f"{arch}.rope.scaling.yarn_attn_factor"] = f32(self.fields.number(key))
                break
        return found

    def llama3_factors(self, width: int) -> Factors | None:
        """By what each of the width / 2 frequencies is divided: float32; None where nothing is said of it.

        Low frequencies by `factor`, high ones by 1, between them smoothly: as transformers' _compute_llama3_parameters.
        """
        if self.type != "llama3":
            return None
        factor, low = self._number("factor", 8.0), self._number("low_freq_factor", 1.0)
        high, length = self._number("high_freq_factor", 4.0), self._number("original_max_position_embeddings", 8192.0)
        if min(factor, low, length) <= 0 or high <= low:
            raise ValueError("rope_parameters says llama3 with factors that are no range")
        waves = 2 * math.pi * self.theta ** (np.arange(0, width, 2, dtype=np.float64) / width)
        smooth = np.clip((length / waves - low) / (high - low), 0.0, 1.0)
        return np.asarray(1.0 / ((1.0 - smooth) / factor + smooth), np.float32)

    def long_and_short(self, width: int) -> tuple[Factors, Factors] | None:
        """The factors of longrope for long and for short texts, [width / 2] each; None where it is not that."""
        if self.type not in ("longrope", "su", "yarn") or "long_factor" not in self.parameters:
            return None
        return self._factors("long_factor", width), self._factors("short_factor", width)

    def _factors(self, key: str, width: int) -> Factors:
        items = self.fields.items(key)
        if len(items) != width // 2 or not all(type(item) in (int, float) for item in items):
            raise ValueError(f"{key} must hold {width // 2} numbers")
        return np.array(items, np.float32)


def _local(config: Config, local: Mapping[str, Any]) -> float | None:
    """The base of the layers with a window, where it is one of their own."""
    if local.get("rope_theta") is not None:
        return Fields(local).number("rope_theta")
    return config.number("rope_local_base_freq") if config.has("rope_local_base_freq") else None
