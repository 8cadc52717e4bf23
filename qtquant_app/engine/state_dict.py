"""Reads what a `.bin`/`.pt`/`.pth` state dict holds, and where: unpickled with `weights_only=True` onto fake tensors.

No weight is read: torch's FakeTensorMode leaves the offset of each storage in the file, and from there on a state dict is read
by ranges like a safetensors file.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import SourceError
from qtquant_app.core.escaping import shortened
from qtquant_app.core.json_text import shown
from qtquant_app.engine.pickle_check import check_pickle

_LONGEST_PICKLE = 100_000_000
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""Keys under which training scripts put the state dict."""


def read_state_dict(root: Path, file: str) -> list[TensorInfo]:
    """The tensors of `root/file` in file order; one that shares another's bytes names it in `tied_to`.

    Raises SourceError where the file is no zip-format state dict, holds anything but tensors, or holds code.
    """
    path = root / file
    _check_archive(path, file)
    entries = _unpickle(path, file)
    size = path.stat().st_size
    tensors = [_describe(name, value, file, size) for name, value in entries.items()]
    tensors.sort(key=lambda tensor: tensor.offset)
    return _mark_aliases(tensors)


def _check_archive(path: Path, file: str) -> None:
    """Holds the archive's table against the file, and its pickle against what tensors need: no more is made than is there."""
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
            if any(item.compress_type != zipfile.ZIP_STORED for item in items):
                raise SourceError(
                    f"{file} is compressed inside, so its tensors cannot be read in place", code="state-dict"
                )
            if sum(item.file_size for item in items) > path.stat().st_size:
                raise SourceError(
                    f"{file} says it holds more bytes than it has", hint="fetch it again", code="state-dict"
                )
            for item in items:
                if item.filename.endswith("data.pkl"):
                    if item.file_size > _LONGEST_PICKLE:
                        raise SourceError(f"{file} lists more tensors than any checkpoint has", code="state-dict")
                    check_pickle(archive.read(item), file)
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the path", code="read") from None
    except (zipfile.BadZipFile, ValueError, OverflowError, EOFError, NotImplementedError, RuntimeError, struct.error):
        raise SourceError(
            f"{file} is not a state dict that torch 1.6 or newer wrote, or is cut short",
            hint="fetch it again, or load and save it once more with torch.save",
            code="state-dict",
        ) from None


def _unpickle(path: Path, file: str) -> dict[str, Any]:
    import pickle

    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        with FakeTensorMode():
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SourceError(
            f"{file} holds Python objects besides tensors, which could run code, and was not opened",
            hint="ask its author for safetensors, or convert it where you trust it",
            code="pickle",
        ) from None
    except Exception as error:
        reason = shortened(str(error).strip().partition("\n")[0], 300) or type(error).__name__
        raise SourceError(
            f"{file} is not a readable state dict: {reason}", hint="fetch it again", code="state-dict"
        ) from None
    return _tensors_of(loaded, file)


def _tensors_of(loaded: object, file: str) -> dict[str, Any]:
    import torch

    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    found = {}
    if isinstance(loaded, Mapping):
        tensors = ((name, value) for name, value in loaded.items() if isinstance(value, torch.Tensor))
        found = {name: value for name, value in tensors if isinstance(name, str)}
    if not found:
        raise SourceError(f"{file} holds no tensors by name", hint="give a model's state dict", code="state-dict")
    return found


def _describe(name: str, tensor: Any, file: str, size: int) -> TensorInfo:
    if not _is_text(name):
        raise SourceError(f"{file} names a tensor by half a character", hint="fetch it again", code="state-dict")
    offset = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    if offset is None:
        raise SourceError(
            f"{file} is a state dict of the format before torch 1.6, which cannot be read in place",
            hint="load and save it once more with torch.save",
            code="state-dict",
        )
    if not tensor.is_contiguous():
        raise SourceError(
            f"{file} stores {shown(name)} with its elements out of order (a transposed view)",
            hint="save it again after .contiguous()",
            code="state-dict",
        )
    start = offset + tensor.storage_offset() * tensor.element_size()
    bytes_ = tensor.numel() * tensor.element_size()
    if start < 0 or start + bytes_ > size or prod(filter(None, tensor.shape)) >= 1 << 63:
        raise SourceError(f"{file} says {shown(name)} lies outside the file", hint="fetch it again", code="state-dict")
    return TensorInfo(name, _dtype_name(tensor.dtype, name, file), tuple(tensor.shape), file, start, bytes_)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dtype_name(dtype: Any, name: str, file: str) -> str:
    from qtquant_app.engine.torch_dtypes import TORCH_DTYPES

    found = next((tag for tag, known in TORCH_DTYPES.items() if known == dtype), None)
    if found is None:
        raise SourceError(f"{file} stores {shown(name)} as {dtype}, which safetensors has no name for", code="dtype")
    return found


def _mark_aliases(tensors: list[TensorInfo]) -> list[TensorInfo]:
    from dataclasses import replace

    first: dict[tuple[int, int, tuple[int, ...]], str] = {}
    marked = []
    for tensor in tensors:
        place = (tensor.offset, tensor.nbytes, tensor.shape)
        owner = first.setdefault(place, tensor.name)
        marked.append(tensor if owner == tensor.name or not tensor.nbytes else replace(tensor, tied_to=owner))
    return marked
