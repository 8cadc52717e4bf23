"""The architectures that a GGUF file can be written for, one small file each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtquant_app.core.errors import PlanError
from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.architectures.base import Architecture
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.gemma2 import GEMMA2
from qtquant_app.formats.gguf.architectures.gemma3 import GEMMA3
from qtquant_app.formats.gguf.architectures.llama import LLAMA
from qtquant_app.formats.gguf.architectures.mixtral import MIXTRAL
from qtquant_app.formats.gguf.architectures.phi3 import PHI3
from qtquant_app.formats.gguf.architectures.qwen2 import QWEN2
from qtquant_app.formats.gguf.architectures.qwen3 import QWEN3
from qtquant_app.formats.gguf.architectures.qwen3_moe import QWEN3_MOE
from qtquant_app.formats.gguf.architectures.smollm3 import SMOLLM3

ARCHITECTURES = (LLAMA, MIXTRAL, QWEN2, QWEN3, QWEN3_MOE, GEMMA2, GEMMA3, PHI3, SMOLLM3)


def architecture_of(data: Mapping[str, Any]) -> tuple[Architecture, Config]:
    """The architecture of a config.json, and the config read.

    Raises PlanError naming what is missing where it is none of those there are, or where llama.cpp would compute another model.
    """
    said = data.get("architectures")
    names = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
    for architecture in ARCHITECTURES:
        if any(name in architecture.classes for name in names):
            return architecture, _checked(architecture, data)
    raise PlanError(
        f"the gguf format does not know the architecture {shown(names[0])}"
        if names
        else "config.json does not say of which architecture the model is, and a GGUF file must",
        hint=f"it knows {', '.join(architecture.title for architecture in ARCHITECTURES)}; another format takes any model",
        code="architecture",
    )


def _checked(architecture: Architecture, data: Mapping[str, Any]) -> Config:
    config = Config(data, architecture.defaults)
    try:
        why = architecture.refuses(config)
    except ValueError as error:
        raise config_error(error) from None
    if why:
        raise PlanError(
            f"llama.cpp's {architecture.name} {why}",
            hint="another format takes this model as it is",
            code="architecture",
        )
    return config


def config_error(error: ValueError) -> PlanError:
    """The refusal of a config.json from which something is missing."""
    return PlanError(
        f"config.json does not describe the model: {error}",
        hint="take config.json from where the model came from",
        code="config",
    )
