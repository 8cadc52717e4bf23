"""Makes a statistics file: lets the model read a text, and sums the squares of what each column of its layers is given.

Written as llama.cpp's `llama-imatrix` writes it, so that llama.cpp's own quantizer takes it too (tools/imatrix, the GGUF form).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import DeviceError, EvaluateError, PlanError, WriteError
from qtquant_app.core.events import Event, StageChanged, TextRead
from qtquant_app.engine.device import resolve
from qtquant_app.engine.language_model import LanguageModel, linear_layers, open_language_model
from qtquant_app.engine.text import BUILT_IN, read_text
from qtquant_app.engine.whole_file import write_file
from qtquant_app.formats import find
from qtquant_app.formats.gguf.container import build_header
from qtquant_app.formats.gguf.values import Value, text, texts, u32

if TYPE_CHECKING:
    from torch import Tensor

WINDOWS, SEQLEN = 64, 512
"""As much as importance matrices are usually made from at the least: a hundred small windows differ little from it."""

Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A statistics file that was made."""

    output: str
    text: str
    tokens: int
    layers: int
    """Layers that it tells of."""

    def to_json(self) -> dict[str, Any]:
        return {"output": self.output, "text": self.text, "tokens": self.tokens, "layers": self.layers}


def gather_statistics(
    checkpoint: Checkpoint,
    output: str | Path,
    *,
    source: str = BUILT_IN,
    windows: int = WINDOWS,
    seqlen: int = SEQLEN,
    device: str = "auto",
    overwrite: bool = False,
) -> Generator[Event, None, Gathered]:
    """Reads at most `windows` windows of `seqlen` tokens of the first half of `source`, a file or "default", and writes `output`.

    The second half is left to evaluations. Layers that transformers puts together with others, such as experts, are left out.
    The file appears whole or not at all. Raises PlanError where `output` exists, unless `overwrite` is set, EvaluateError or
    DeviceError where the model cannot be run, WriteError.
    """
    file = Path(output)
    _check(file, overwrite)
    first, _ = read_text(source).halves()
    model = _opened(checkpoint, resolve(device))
    parts = model.windows(first, windows, seqlen)
    layers = linear_layers(model.net, checkpoint)
    if not layers:
        raise EvaluateError(f"{checkpoint.label} has no linear layer of its own to look at", code="no-layers")
    sums: dict[str, Sums] = {}
    tokens, total = 0, sum(len(ids) for ids in parts)
    yield StageChanged("calibrate")
    for ids in parts:
        with _watched(layers, sums):
            model.log_probabilities(ids)
        tokens += len(ids)
        yield TextRead(tokens, total)
    _write(file, checkpoint, sums, tokens, first.name, len(parts), seqlen)
    return Gathered(str(file), first.name, tokens, len(sums))


def _check(file: Path, overwrite: bool) -> None:
    if file.is_dir() or (file.exists() and not overwrite):
        raise PlanError(f"{file} exists", hint="choose another -o", code="exists")
    if not file.parent.is_dir():
        raise PlanError(f"{file.parent} is no folder", hint="make it, or choose another place", code="no-folder")


def _opened(checkpoint: Checkpoint, device: str) -> LanguageModel:
    try:
        return open_language_model(checkpoint, device)
    except (EvaluateError, DeviceError) as error:
        error.hint = "llama.cpp's llama-imatrix makes such files too, from a GGUF file of the model"
        raise


@contextmanager
def _watched(layers: Mapping[str, Any], sums: dict[str, Sums]) -> Iterator[None]:
    hooks = [layer.register_forward_pre_hook(_watch(module, sums)) for module, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(module: str, sums: dict[str, Sums]) -> Any:
    def watch(layer: Any, arguments: tuple[Tensor, ...]) -> None:
        squares = arguments[0].detach().double().reshape(-1, arguments[0].shape[-1]).square().sum(dim=0).cpu().numpy()
        sums[module] = sums[module] + squares if module in sums else squares

    return watch


def _write(
    file: Path, checkpoint: Checkpoint, sums: Mapping[str, Sums], tokens: int, name: str, chunks: int, length: int
) -> None:
    known = _names(checkpoint)
    table: list[tuple[str, str, tuple[int, ...]]] = []
    arrays: list[NDArray[np.float32]] = []
    for tensor in checkpoint.quantizable:
        if tensor.module in sums and np.isfinite(sums[tensor.module]).all():
            called = known.get(tensor.name, tensor.name)
            table += [(f"{called}.in_sum2", "F32", (1, tensor.shape[1])), (f"{called}.counts", "F32", (1, 1))]
            arrays += [sums[tensor.module].astype("<f4"), np.array([tokens], "<f4")]
    header, described = build_header(_metadata(name, chunks, length), table)
    body = bytearray(header)
    for place, array in zip(described.tensors, arrays, strict=True):
        body.extend(bytes(place.offset - len(body)) + array.tobytes())
    body.extend(bytes(-len(body) % 32))
    try:
        write_file(file, bytes(body))
    except OSError as error:
        raise WriteError(f"{file} cannot be written: {error.strerror}", hint="choose another place") from None


def _metadata(name: str, chunks: int, length: int) -> dict[str, Value]:
    return {
        "general.type": text("imatrix"),
        "imatrix.datasets": texts([name]),
        "imatrix.chunk_count": u32(chunks),
        "imatrix.chunk_size": u32(length),
    }


def _names(checkpoint: Checkpoint) -> Mapping[str, str]:
    """What GGUF calls the tensors; nothing where it does not know the model."""
    try:
        format = find("gguf").bound(checkpoint)
    except PlanError:
        return {}
    stored: Sequence[tuple[str, Any]] = [(t.name, format.kept(t)) for t in checkpoint.quantizable]
    return {name: parts[0].name for name, parts in stored if parts}
