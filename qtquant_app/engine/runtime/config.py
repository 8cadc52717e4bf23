"""The `quantization_config` of the plain format, as transformers hands it around."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers.utils.quantization_config import QuantizationConfigMixin

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import QtQuantError, SourceError
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import shown
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.stacks import Stack
from qtquant_app.formats.qtquant import QtQuantFormat

METHOD = "qtquant"
VERSION = 1


class QtQuantConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """`schemes` in JSON, and for each quantized module, by its checkpoint name, which of them it has.

    Raises SourceError where the parts contradict each other or come from a newer version.
    """

    def __init__(
        self,
        schemes: list[dict[str, Any]] | None = None,
        modules: dict[str, int] | None = None,
        stacks: dict[str, dict[str, Any]] | None = None,
        version: int = VERSION,
        quant_method: str = METHOD,
        **_: object,
    ) -> None:
        self.quant_method = quant_method
        self.version = version
        self.schemes = schemes or []
        self.modules = modules or {}
        self.stacks = stacks or {}
        self._check()

    def scheme_of(self) -> dict[str, Scheme]:
        """The scheme of each quantized module."""
        schemes = [Scheme.from_json(item) for item in self.schemes]
        return {module: schemes[index] for module, index in self.modules.items()}

    def stacks_of(self) -> tuple[Stack, ...]:
        """The stacks of experts that the original checkpoint held, and whose matrices this one has each on its own."""
        return tuple(_stack(name, item) for name, item in self.stacks.items())

    def with_modules(self, schemes: Mapping[str, Scheme]) -> QtQuantConfig:
        """The same for other modules."""
        distinct = list(dict.fromkeys(schemes.values()))
        named = {module: distinct.index(scheme) for module, scheme in schemes.items()}
        return QtQuantConfig([scheme.to_json() for scheme in distinct], named)

    def _check(self) -> None:
        if self.version != VERSION:
            raise _bad(f"says version {self.version!r}, and this program reads version {VERSION}", "upgrade QtQuant")
        if not isinstance(self.schemes, list) or not isinstance(self.modules, Mapping):
            raise _bad("needs a list of schemes and an object of modules")
        if not isinstance(self.stacks, Mapping):
            raise _bad("needs an object of stacks")
        self.stacks_of()
        try:
            schemes = [Scheme.from_json(item) for item in self.schemes]
        except QtQuantError as error:
            raise _bad(f"has a malformed scheme: {error}") from None
        if any(
            scheme.bits not in QtQuantFormat.bits or (scheme.type, scheme.bits) == ("float", 4) for scheme in schemes
        ):
            raise _bad("has a scheme whose width the plain format does not pack")
        for module, index in self.modules.items():
            if type(index) is not int or not 0 <= index < len(schemes):
                raise _bad(f"gives {module} the scheme {index!r}, and there are {len(schemes)}")


def _stack(name: str, item: object) -> Stack:
    try:
        read = Fields(item)
        leaves, shape, prefix = read.items("leaves"), read.sizes("shape"), read.text("experts")
        turned, interleaved = (bool(read.any(key)) for key in ("transposed", "interleaved"))
    except ValueError as error:
        raise _bad(f"has a malformed stack of experts: {error}") from None
    names = all(isinstance(leaf, str) and re.fullmatch(r"\w+", leaf) for leaf in leaves) and 1 <= len(leaves) <= 2
    if not names or len(shape) != 3 or not all(shape) or not re.fullmatch(r"[\w.]+", prefix):
        raise _bad(f"says of {shown(name)} what no stack of experts is")
    return Stack(TensorInfo(name, "F32", shape, "", 0, 0), prefix, tuple(leaves), turned, interleaved)


def _bad(what: str, hint: str = "fetch config.json again, or quantize the checkpoint again") -> SourceError:
    return SourceError(f"the quantization_config of config.json {what}", hint=hint, code="config")
