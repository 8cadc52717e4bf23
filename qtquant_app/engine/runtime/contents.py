"""What the weight files of a plain checkpoint hold, from their headers, held against its quantization_config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import SourceError, VerifyError
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.runtime.linear import TORCH_DTYPES, stored_tensors
from qtquant_app.engine.safetensors_header import read_header

CODES, SCALE, ZERO = "weight_packed", "weight_scale", "weight_zero_point"
COMPANIONS = (CODES, SCALE, ZERO)
"""What stands in the files in place of a module's `weight`."""


@dataclass(frozen=True)
class Contents:
    """The tensors of the files by name, and the schemes of the quantized modules by their checkpoint names."""

    tensors: Mapping[str, TensorInfo]
    schemes: Mapping[str, Scheme]

    def float_names(self) -> list[str]:
        """The names a float checkpoint would have: `M.weight` for each quantized module M."""
        hidden = {f"{module}.{name}" for module in self.schemes for name in COMPANIONS}
        return [name for name in self.tensors if name not in hidden] + [f"{module}.weight" for module in self.schemes]

    def scale_dtype(self, module: str) -> str:
        return self.tensors[f"{module}.{SCALE}"].dtype

    def check_shape(self, module: str, rows: int, columns: int) -> None:
        """Raises VerifyError where what is stored for `module` is not a weight [rows, columns]."""
        for stored in stored_tensors(module, rows, columns, self.schemes[module], self.scale_dtype(module)):
            tensor = self.tensors[stored.name]
            if (tensor.dtype, tensor.shape) != (stored.dtype, stored.shape):
                raise _bad(
                    f"{tensor.file}: {stored.name} is {tensor.dtype} {list(tensor.shape)}, and a weight of "
                    f"[{rows}, {columns}] in {self.schemes[module].label} takes {stored.dtype} {list(stored.shape)}"
                )


def read_contents(files: Iterable[str | Path] | None, schemes: Mapping[str, Scheme]) -> Contents:
    """The headers of `files`, checked: every quantized module has its tensors, and no other module has any.

    Raises SourceError where a file cannot be read and VerifyError where a tensor is missing or too many.
    """
    tensors: dict[str, TensorInfo] = {}
    for file in map(Path, files or ()):
        if file.suffix != ".safetensors":
            raise SourceError(f"{file.name} is not a safetensors file", hint="quantize it again", code="format")
        tensors.update((tensor.name, tensor) for tensor in read_header(file.parent, file.name)[0])
    if not tensors:
        raise SourceError("a plain checkpoint is loaded from its files, and none were given", code="no-weights")
    contents = Contents(tensors, schemes)
    for module, scheme in schemes.items():
        _check_present(contents, module, scheme)
    _check_known(contents)
    return contents


def _check_present(contents: Contents, module: str, scheme: Scheme) -> None:
    wanted = COMPANIONS[:2] if scheme.symmetric else COMPANIONS
    missing = [name for name in wanted if f"{module}.{name}" not in contents.tensors]
    if missing:
        raise _bad(f"the files hold no {module}.{missing[0]}, though config.json says that {module} is quantized")
    dtype = contents.scale_dtype(module)
    if dtype not in TORCH_DTYPES or dtype == "U8":
        raise _bad(f"{module}.{SCALE} is {dtype}, not a floating-point number")
    codes = contents.tensors[f"{module}.{CODES}"]
    if len(codes.shape) != 2 or codes.dtype != "U8":
        raise _bad(f"{codes.file}: {codes.name} is {codes.dtype} {list(codes.shape)}, not rows of bytes")


def _check_known(contents: Contents) -> None:
    for name, tensor in contents.tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf == CODES and module not in contents.schemes:
            raise _bad(f"{tensor.file} holds {name}, though config.json does not say that {module} is quantized")


def _bad(message: str) -> VerifyError:
    return VerifyError(message, hint="the folder is incomplete or mixed up: fetch it or quantize it again", code="load")
