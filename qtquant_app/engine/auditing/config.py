"""What a quantized checkpoint's config says of a module: that it is quantized, that it is not, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qtquant_app.engine.packed.compressed_tensors import group_of, ignored, names_it
from qtquant_app.engine.packed.mlx import said_of
from qtquant_app.engine.packed.modules import Told, names

_COMPRESSED = "compressed-tensors"


def says_quantized(told: Told, module: str) -> bool | None:
    """Whether the config has `module`, a linear layer, quantized; None where it leaves that to the files."""
    if told.method == _COMPRESSED:
        return not ignored(told, module) and bool(group_of(told, module))
    if told.method == "qtquant":
        modules = told.quantization.get("modules")
        return isinstance(modules, Mapping) and module in modules
    if told.method == "gptq":
        return not _excluded(told, module) and _within(told, module)
    if told.method == "awq":
        return not any(part in module for part in told.names("modules_to_not_convert"))
    if told.method == "bitsandbytes":
        return not any(part in module for part in told.names("llm_int8_skip_modules"))
    if said_of(module, told).get(module) is False:  # MLX
        return False
    return None


def _excluded(told: Told, module: str) -> bool:
    """Whether a `-:` expression of GPTQ's `dynamic` names it."""
    dynamic = told.quantization.get("dynamic")
    keys: Iterable[object] = dynamic if isinstance(dynamic, Mapping) else ()
    return any(isinstance(key, str) and key.startswith("-:") and names_it(f"re:{key[2:]}", module) for key in keys)


def _within(told: Told, module: str) -> bool:
    """Whether it is one of those that GPTQ's config lists, where it lists any; else in a block."""
    listed = told.quantization.get("modules_in_block_to_quantize")
    if isinstance(listed, list) and listed:
        flat = [name for item in listed for name in ([item] if isinstance(item, str) else names({"": item}, ""))]
        return any(module.endswith(f".{name}") for name in flat)
    return module != "lm_head" or told.quantization.get("lm_head") is True
