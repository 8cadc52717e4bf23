"""From a model to a quantized folder and back to its weights, decoded by numpy alone, apart from the program's decoders."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.driving import result


@dataclass(frozen=True)
class Trip:
    """A float checkpoint, what became of it, and the plan between them."""

    source: Path
    output: Path
    plan: Plan

    @property
    def schemes(self) -> dict[str, Scheme]:
        return {tensor.name: tensor.scheme for tensor in self.plan.tensors if tensor.scheme is not None}

    def stored(self) -> dict[str, torch.Tensor]:
        return _all_tensors(self.output)

    def reference(self, model_class: Any, dtype: torch.dtype) -> PreTrainedModel:
        """The float model, with each quantized weight replaced by what the stored tensors stand for, rounded to `dtype`."""
        stored, folder = self.stored(), self.source.with_name("reference")
        tensors = _all_tensors(self.source)
        for name, scheme in self.schemes.items():
            tensors[name] = decoded(stored, name, scheme, tensors[name].shape[1]).to(dtype)
        shutil.copytree(self.source, folder)
        for file in folder.glob("*.safetensors*"):
            file.unlink()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return model_class.from_pretrained(folder, dtype=dtype).eval()


def quantize(model: PreTrainedModel, folder: Path, recipe: Recipe, **saving: Any) -> Trip:
    """Saves `model` into `folder`, quantizes it with the engine, and says where everything is."""
    source, output = folder / "source", folder / "output"
    model.save_pretrained(source, **saving)
    plan = make_plan(open_checkpoint(source), recipe, output=output, device="cpu")
    result(run(plan, RunOptions(str(output))))
    return Trip(source, output, plan)


NOISE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Share of the outputs' norm that the order of additions may move; memory's alignment alone can change it."""


def assert_alike(
    made: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype = torch.float32, noise: float | None = None
) -> None:
    """Equal up to the noise of arithmetic in `dtype`, or the share `noise` of the norm."""
    assert made.shape == expected.shape
    distance, size = (made - expected).double().norm(), expected.double().norm()
    assert distance <= (NOISE[dtype] if noise is None else noise) * size, f"{distance / size:.2e} of the norm apart"


def decoded(stored: dict[str, torch.Tensor], name: str, scheme: Scheme, columns: int) -> torch.Tensor:
    """The float32 weight [rows, columns] that `stored` holds for `name`: (code - zero) * scale."""
    module = name.removesuffix(".weight")
    if scheme.type == "float":
        return _decoded_float(stored, module, scheme, columns)
    if f"{module}.weight" in stored:
        difference = stored[f"{module}.weight"].numpy().astype(np.float32)
    else:
        packed = stored[f"{module}.weight_packed"].numpy()
        difference = codes_of(packed, scheme.bits, columns).astype(np.float32) - _zeros(stored, module, scheme, columns)
    scale = _spread(stored[f"{module}.weight_scale"].float().numpy(), difference.shape[0], columns, scheme)
    return torch.from_numpy(difference * scale)


_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def _decoded_float(stored: dict[str, torch.Tensor], module: str, scheme: Scheme, columns: int) -> torch.Tensor:
    """FP8, NVFP4 and MXFP4: code * scale, NVFP4's scale divided by that of the tensor, MXFP4's a power of two."""
    if scheme.bits == 8:
        values = stored[f"{module}.weight"].float().numpy()
    else:
        codes = codes_of(stored[f"{module}.weight_packed"].numpy(), 4, columns)
        values = np.where(codes > 7, -1, 1).astype(np.float32) * _E2M1[codes & 7]
    raw = stored[f"{module}.weight_scale"]
    scale = raw.float().numpy() if raw.dtype != torch.uint8 else np.exp2(raw.numpy().astype(np.float32) - 127)
    if f"{module}.weight_global_scale" in stored:
        scale = scale / stored[f"{module}.weight_global_scale"].numpy()
    if scheme.strategy == "block":
        scale = np.repeat(scale, scheme.row_block, axis=0)[: len(values)]
    return torch.from_numpy(values * _spread(scale, *values.shape, scheme))


def codes_of(packed: NDArray[Any], bits: int, columns: int) -> NDArray[np.int64]:
    """Codes of a dense little-endian bit stream, row by row, whatever the width of the words it is stored in."""
    rows = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=1, bitorder="little")[:, : columns * bits]
    return rows.reshape(len(rows), columns, bits).astype(np.int64) @ (1 << np.arange(bits))


def _zeros(stored: dict[str, torch.Tensor], module: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
    rows = stored[f"{module}.weight_packed"].shape[0]
    if scheme.symmetric:
        return np.full((rows, columns), 1 << (scheme.bits - 1), np.float32)
    zero = stored[f"{module}.weight_zero_point"].numpy()
    if zero.dtype == np.int32:
        zero = codes_of(np.ascontiguousarray(zero.T), scheme.bits, rows).T
    return _spread(zero.astype(np.float32), rows, columns, scheme)


def _spread(values: NDArray[np.float32], rows: int, columns: int, scheme: Scheme) -> NDArray[np.float32]:
    if values.ndim == 1:
        return np.broadcast_to(values, (rows, columns))
    return np.repeat(values, scheme.group_size or columns, axis=1)[:, :columns]


def _all_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}
