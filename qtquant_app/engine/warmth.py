"""Which kernels a run on the CPU finds ready, which it loads from the disk, and which it must compile first.

A compiler is the largest thing in a small run: it takes more memory and more seconds than the weights of a small checkpoint do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.dtypes import ITEM_BITS
from qtquant_app.core.scheme import Scheme

_KERNELS = "qtquant_app.quant.kernels"

_COMPILER = 47 << 20
"""Resident bytes of LLVM once the first kernel is loaded, that kernel included."""

_COMPILING = 16 << 20
"""What numba comes to hold beyond that as soon as it compiles anything."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one kernel costs a process beyond LLVM itself: resident bytes loaded from the cache, bytes and seconds compiled."""

    loaded: int
    compiled: int
    seconds: float


_QUANTIZE = Price(0, 40 << 20, 3.2)
_COMPARE = Price(3 << 20, 18 << 20, 0.9)
_EXTREMES = Price(2 << 20, 8 << 20, 0.5)
_PACKING = Price(3 << 20, 8 << 20, 0.8)
"""Measured with numba 0.68 on Linux, as the differences between runs in fresh processes."""


@dataclass(frozen=True, slots=True)
class Warming:
    """What readying the kernels takes: bytes of main memory, what more of them while some are compiled, and seconds."""

    ram: int = 0
    compiling: int = 0
    seconds: float = 0.0


def warming(work: Iterable[tuple[str, Scheme]], *, verify: bool) -> Warming:
    """What readying the kernels takes for weights of these dtypes under these schemes, verified or not, in this process."""
    ram, compiling, seconds, started = 0, 0, 0.0, _started()
    for kernel, bits, price in _kernels(set(work), verify):
        if _in_process(kernel, bits):
            continue
        if not started:
            ram, started = ram + _COMPILER, True
        ram += price.loaded
        if not _on_disk(kernel, bits):
            compiling += price.compiled - price.loaded + (0 if compiling else _COMPILING)
            seconds += price.seconds
    return Warming(ram, compiling, seconds)


def _kernels(work: Iterable[tuple[str, Scheme]], verify: bool) -> list[tuple[Any, int, Price]]:
    """Each kernel that `work` needs, the bits of the weights it is for (0 where they make no difference), and its price."""
    from qtquant_app.quant.floats import is_float
    from qtquant_app.quant.kernels import floats_rows, fused, offsets_rows, packing

    needed: dict[tuple[str, int], tuple[Any, int, Price]] = {}
    for dtype, scheme in work:
        bits = ITEM_BITS[dtype]
        passes = floats_rows if is_float(scheme) else offsets_rows if scheme.offset == "float" else fused
        found: list[tuple[Any, int, Price]] = [(passes.quantize_rows, bits, _QUANTIZE)]
        if verify:
            found.append((passes.compare_rows, bits, _COMPARE))
        if scheme.strategy == "block":
            found.append((floats_rows.block_scales, bits, _EXTREMES))
        if scheme.needs_extremes:
            found.append((fused.extremes_rows, bits, _EXTREMES))
        elif not scheme.symmetric:
            found.append((packing.pack_rows, 0, _PACKING))
            found += [(packing.unpack_rows, 0, _PACKING)] * verify
        needed |= {
            (f"{kernel.__module__}.{kernel.__name__}", width): (kernel, width, price) for kernel, width, price in found
        }
    return list(needed.values())


def _started() -> bool:
    """Whether this process has a kernel already, and so LLVM."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_KERNELS) and module]
    return any(getattr(one, "signatures", ()) for module in modules for one in vars(module).values())


def _in_process(kernel: Any, bits: int) -> bool:
    return any(_is_for(signature, bits) for signature in kernel.signatures)


def _on_disk(kernel: Any, bits: int) -> bool:
    """Whether numba has kept `kernel` for such weights. Its index is no public part of numba: without it, nothing is kept."""
    try:
        index = kernel._cache._cache_file._load_index()
        return any(_is_for(key[0], bits) for key in index)
    except Exception:
        return False


def _is_for(signature: Any, bits: int) -> bool:
    return not bits or getattr(getattr(signature[0], "dtype", None), "bitwidth", 0) == bits
