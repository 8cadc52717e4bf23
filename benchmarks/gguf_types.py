"""GGUF block types beside ggml's own quantizers in the same run: squared error and speed by type.

    python -m benchmarks.gguf_types LIBRARY [--model FOLDER] [--threads N] [--weights MILLIONS]

LIBRARY is ggml's shared library (libggml-base.so, or the python of an environment that has llama_cpp). Errors are ours over ggml's,
over all weights of a kind; below 1 is better. `weighted` is the error weighted by an importance that both were given. Speeds in
Mweights/s, ours with the errors of every row summed besides.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS, Layout
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.kernels.blocks_codec import dequantize
from qtquant_app.quant.kernels.cpu import CpuBackend

CHUNK_ROWS, COLUMNS, ROUNDS = 64, 4096, 3
GGML_TYPES = {
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "Q2_K": 10,
    "Q3_K": 11,
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
}
"""enum ggml_type in ggml.h."""

Weights = NDArray[np.float32]
Quantizer = Callable[[Weights, "Weights | None"], NDArray[np.uint8]]


def library(path: Path) -> ctypes.CDLL:
    """ggml's shared library at `path`, or in the environment whose python that is."""
    if path.name.startswith("python"):
        code = "import llama_cpp; print(llama_cpp.__path__[0])"
        folder = subprocess.run([path, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
        path = next(Path(folder).rglob("libggml-base.*"))
    ggml = ctypes.CDLL(str(path))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return ggml


def theirs(ggml: ctypes.CDLL, layout: Layout) -> Quantizer:
    """ggml's quantizer of a layout, for float32 rows on one thread."""

    def quantize(rows: Weights, importance: Weights | None) -> NDArray[np.uint8]:
        count, columns = rows.shape
        out = np.empty((count, layout.row_bytes(columns)), np.uint8)
        share = None if importance is None else importance.ctypes.data
        kind = GGML_TYPES[layout.name]
        ggml.ggml_quantize_chunk(kind, rows.ctypes.data, out.ctypes.data, 0, count, columns, share)
        return out

    return quantize


def ours(layout: Layout) -> Quantizer:
    """Our quantizer of a layout."""
    backend, scheme = CpuBackend(), Scheme.of_layout(layout.name)
    return lambda rows, importance: backend.quantize(rows, "F32", scheme, 1, None, importance).packed


def squared_error(rows: Weights, packed: NDArray[np.uint8], layout: Layout, importance: Weights | None) -> float:
    """The sum of squared errors of blocks, each weighted by the importance of its column."""
    restored = dequantize(packed, layout.name, rows.shape[1])
    square = (rows.astype(np.float64) - restored) ** 2
    return float((square if importance is None else square * importance).sum())


def kinds(model: Path | None) -> dict[str, list[Weights]]:
    """Weights by kind: drawn at random, and those of a model's matrices cut to whole blocks."""
    random, shape = np.random.default_rng(0), (128, 2048)
    drawn: dict[str, NDArray[np.float64]] = {
        "gaussian": random.standard_normal(shape),
        "laplace": random.laplace(size=shape),
        "uniform": random.uniform(-1, 1, shape),
        "heavy": np.asarray(random.standard_t(3, shape)),
    }
    result = {name: [(values * 0.02).astype(np.float32)] for name, values in drawn.items()}
    if model is not None:
        result |= real(model)
    return result


def real(folder: Path) -> dict[str, list[Weights]]:
    """The first rows of a BF16 checkpoint's matrices, cut to a multiple of 256 columns: embedding and linear layers apart."""
    result: dict[str, list[Weights]] = {"embedding": [], "linear": []}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        data = np.memmap(path, np.uint8, "r", offset=8 + size)
        for name, entry in header.items():
            if name == "__metadata__" or len(entry["shape"]) != 2 or entry["dtype"] != "BF16":
                continue
            begin, end = entry["data_offsets"]
            bits = data[begin:end].view(np.uint16).reshape(entry["shape"])[:64]
            values = (bits[:, : bits.shape[1] // 256 * 256].astype(np.uint32) << 16).view(np.float32)
            result["embedding" if "embed" in name else "linear"].append(np.ascontiguousarray(values))
    return result


def speed(quantize: Quantizer, rows: Weights, pool: ThreadPoolExecutor) -> float:
    """Mweights/s of the fastest of a few rounds, after one that is not counted."""
    chunks = [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]
    times = []
    for _ in range(ROUNDS + 1):
        start = perf_counter()
        list(pool.map(lambda chunk: quantize(chunk, None), chunks))
        times.append(perf_counter() - start)
    return rows.size / min(times[1:]) / 1e6


def ratio(layout: Layout, ggml: Quantizer, parts: Sequence[Weights], weighted: bool) -> float:
    """Our squared error over ggml's, over all of `parts`."""
    own, other = 0.0, 0.0
    for rows in parts:
        share = (
            np.asarray(np.random.default_rng(1).gamma(0.5, size=rows.shape[1])).astype(np.float32) if weighted else None
        )
        own += squared_error(rows, ours(layout)(rows, share), layout, share)
        other += squared_error(rows, ggml(rows, share), layout, share)
    return own / other


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=int, default=4)
    options = parser.parse_args()
    ggml, parts = library(options.library), kinds(options.model)
    rows = np.random.default_rng(2).standard_normal((options.weights * 1_000_000 // COLUMNS, COLUMNS), np.float32)
    heads = [name if not weighted else "weighted" for name in parts for weighted in (False, True)]
    print("| type | " + " | ".join(heads) + " | ours Mw/s | ggml Mw/s |")
    print("|---" * (len(heads) + 3) + "|")
    with ThreadPoolExecutor(options.threads) as pool:
        for name in GGML_TYPES:
            layout = LAYOUTS[name]
            other = theirs(ggml, layout)
            errors = [ratio(layout, other, part, weighted) for part in parts.values() for weighted in (False, True)]
            speeds = [speed(quantize, rows, pool) for quantize in (ours(layout), other)]
            cells = [f"{value:.3f}" for value in errors] + [f"{value:.0f}" for value in speeds]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
