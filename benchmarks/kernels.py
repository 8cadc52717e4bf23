"""Quantizing in memory, beside plain torch in the same run: Gweights/s by dtype, width and method.

    python -m benchmarks.kernels [--weights MILLIONS] [--threads N] [--naive MILLIONS]

Ours: chunks of rows on a pool of threads, codes packed and errors summed in the same pass. Plain torch: the whole tensor,
one operation after another, packed to int32 words and no errors summed. `compare` decodes and sums the errors again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.methods import find

COLUMNS = 4096
CHUNK_ROWS = 512
ROUNDS = 3

CASES: tuple[tuple[str, Scheme], ...] = (
    ("BF16", Scheme()),
    ("F16", Scheme()),
    ("F32", Scheme()),
    ("BF16", Scheme(symmetric=False)),
    ("BF16", Scheme(group_size=32)),
    ("BF16", Scheme(bits=2)),
    ("BF16", Scheme(bits=3)),
    ("BF16", Scheme(bits=5)),
    ("BF16", Scheme(bits=6)),
    ("BF16", Scheme(bits=8, strategy="channel", group_size=None)),
    ("BF16", Scheme(bits=2, method="mse")),
    ("BF16", Scheme(method="mse")),
    ("BF16", Scheme(symmetric=False, method="mse")),
    ("BF16", Scheme(bits=8, method="mse")),
)


def best(work: Callable[[], object], weights: int) -> float:
    """Gweights/s of the fastest of a few rounds, after one that is not counted."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return weights / min(times) / 1e9


def random_weights(dtype: str, rows: int) -> NDArray[Any]:
    """Gaussian weights, as a backend takes them."""
    noise = np.random.default_rng(0).standard_normal((CHUNK_ROWS, COLUMNS), np.float32) * np.float32(0.02)
    raw = {"F32": noise, "F16": noise.astype(np.float16), "BF16": (noise.view(np.uint32) >> 16).astype(np.uint16)}[
        dtype
    ]
    return np.tile(raw, (max(1, rows // CHUNK_ROWS), 1))


def ours(raw: NDArray[Any], dtype: str, scheme: Scheme, pool: ThreadPoolExecutor) -> tuple[float, float]:
    """Gweights/s of quantize and of compare."""
    backend = CpuBackend()
    chunks = [raw[start : start + CHUNK_ROWS] for start in range(0, len(raw), CHUNK_ROWS)]
    done = [backend.quantize(chunk, dtype, scheme, 4) for chunk in chunks]

    def quantize(chunk: NDArray[Any]) -> None:
        backend.quantize(chunk, dtype, scheme, 4)

    def compare(index: int) -> None:
        backend.compare(chunks[index], dtype, done[index], scheme)

    quantizing = best(lambda: list(pool.map(quantize, chunks)), raw.size)
    return quantizing, best(lambda: list(pool.map(compare, range(len(chunks)))), raw.size)


def naive(raw: NDArray[Any], dtype: str, scheme: Scheme) -> float:
    """Gweights/s of plain torch over the whole tensor."""
    weight = torch.from_numpy(as_float32(raw, dtype))
    return best(lambda: plain_torch(weight, scheme), raw.size)


def plain_torch(weight: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Packed codes and scales as one would write them down: one tensor operation a step."""
    parts = weight.view(len(weight), -1, scheme.group_size or weight.shape[1])
    top = scheme.levels - 1
    best_scale, best_zero, best_error = None, None, None
    for factor in find(scheme.method).factors:
        scale, zero = _range(parts, factor, top, scheme.symmetric)
        if best_error is None or best_scale is None or best_zero is None:
            best_scale, best_zero = scale, zero
            best_error = _error(parts, scale, zero, top) if scheme.method != "rtn" else torch.zeros(())
            continue
        error = _error(parts, scale, zero, top)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scale, best_zero = torch.where(better, scale, best_scale), torch.where(better, zero, best_zero)
    assert best_scale is not None and best_zero is not None
    codes = ((parts / best_scale).round() + best_zero).clamp(0, top).int().view(len(weight), -1)
    return pack_words(codes, scheme.bits), best_scale


def _range(parts: Tensor, factor: float, top: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    if symmetric:
        scale = parts.abs().amax(-1, keepdim=True) * factor / (top / 2)
        return scale, torch.full_like(scale, (top + 1) // 2)
    low, high = parts.amin(-1, keepdim=True) * factor, parts.amax(-1, keepdim=True) * factor
    scale = (high - low) / top
    return scale, (-low / scale).round()


def _error(parts: Tensor, scale: Tensor, zero: Tensor, top: int) -> Tensor:
    codes = ((parts / scale).round() + zero).clamp(0, top)
    return (parts - (codes - zero) * scale).square().sum(-1, keepdim=True)


def pack_words(codes: Tensor, bits: int) -> Tensor:
    """As many whole codes as an int32 word takes, a shift and an or at a time."""
    count = 32 // bits
    codes = codes[:, : codes.shape[1] // count * count].view(len(codes), -1, count)
    words = torch.zeros(codes.shape[:-1], dtype=torch.int32)
    for place in range(count):
        words |= codes[..., place] << (bits * place)
    return words


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--weights", type=int, default=128, help="millions of weights, 128 as it stands")
    options.add_argument("--naive", type=int, default=32, help="millions of weights for plain torch, 32 as it stands")
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    print(f"Gweights/s, {chosen.threads} threads\n")
    print("| dtype | scheme | quantize | compare | plain torch | quantize : plain torch |")
    print("|---|---|---|---|---|---|")
    with ThreadPoolExecutor(chosen.threads) as pool:
        for dtype, scheme in CASES:
            share = 1 if scheme.method == "rtn" else 8
            raw = random_weights(dtype, chosen.weights * 1_000_000 // share // COLUMNS)
            quantizing, comparing = ours(raw, dtype, scheme, pool)
            plain = naive(random_weights(dtype, chosen.naive * 1_000_000 // share // COLUMNS), dtype, scheme)
            figures = f"{quantizing:.2f} | {comparing:.2f} | {plain:.3f} | {quantizing / plain:.0f}"
            print(f"| {dtype} | {scheme.label} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
