"""Packing and unpacking at every width, beside other packers in the same run: GB/s of codes, one byte a code.

    python -m benchmarks.pack [--codes MILLIONS] [--threads N]

Ours works through the codes in pieces, as a run does; the others get them whole, as their libraries do. For
compressed-tensors a part of them: it is slow, and wants many times their memory. A dash: the library is not
installed, or has no packer of that width.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qtquant_app.quant.kernels.packing import WIDTHS, pack, unpack

COLUMNS = 4096
PIECE_ROWS = 1024
PART_ROWS = 4096
ROUNDS = 3

Codes = NDArray[np.uint8]
Pair = tuple[Callable[[], object], Callable[[], object]]
"""What packs, and what unpacks again."""


def best(work: Callable[[], object], nbytes: int) -> float:
    """GB/s of the fastest of a few rounds, after one that is not counted."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return nbytes / min(times) / 1e9


def ours(codes: Codes, bits: int, pool: ThreadPoolExecutor) -> Pair:
    """Our packer and unpacker, over pieces of rows."""
    pieces = [codes[start : start + PIECE_ROWS] for start in range(0, len(codes), PIECE_ROWS)]
    packed = [pack(piece, bits, 4) for piece in pieces]
    for piece, stored in zip(pieces[:2], packed, strict=False):
        assert np.array_equal(unpack(stored, bits, COLUMNS), piece)
    drop = [None] * len(pieces)
    return (
        lambda: list(pool.map(lambda piece: _forget(pack(piece, bits, 4)), pieces)) == drop,
        lambda: list(pool.map(lambda stored: _forget(unpack(stored, bits, COLUMNS)), packed)) == drop,
    )


def _forget(_result: object) -> None:
    return None


def compressed_tensors(codes: Codes, bits: int) -> Pair | None:
    """The packer of compressed-tensors, which takes signed codes."""
    if find_spec("compressed_tensors") is None:
        return None
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

    signed = torch.from_numpy(codes.astype(np.int16) - (1 << (bits - 1))).to(torch.int8)
    packed = pack_to_int32(signed, bits)
    shape = torch.Size(signed.shape)
    return lambda: pack_to_int32(signed, bits), lambda: unpack_from_int32(packed, bits, shape)


def hqq(codes: Codes, bits: int) -> Pair | None:
    """The packer of HQQ: bytes at 2 and 4 bits, words at 3; at 8 it leaves the codes as they are."""
    name = {2: "2bit_u8", 3: "3bit_32", 4: "4bit_u8"}.get(bits)
    if name is None or find_spec("hqq") is None:
        return None
    from hqq.core.bitpack import BitPack

    tensor = torch.from_numpy(codes)
    packing: Any = getattr(BitPack, f"pack_{name}")
    unpacking: Any = getattr(BitPack, f"unpack_{name}")
    packed = packing(tensor)
    return lambda: packing(tensor), lambda: unpacking(packed, dtype=torch.uint8)


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--codes", type=int, default=256, help="millions of codes, 256 as it stands")
    options.add_argument("--threads", type=int, default=2)
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = max(PIECE_ROWS, arguments.codes * 1_000_000 // COLUMNS // PIECE_ROWS * PIECE_ROWS)
    noise = np.random.default_rng(0).integers(0, 256, (PIECE_ROWS, COLUMNS), np.uint8)
    print(f"GB/s of codes, {rows * COLUMNS / 1e6:.0f} million, {arguments.threads} threads\n")
    print(
        "| bits | pack | unpack | compressed-tensors pack | unpack | ours : theirs | HQQ pack | unpack | ours : theirs |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with ThreadPoolExecutor(arguments.threads) as pool:
        for bits in WIDTHS:
            codes = np.tile(noise & np.uint8((1 << bits) - 1), (rows // PIECE_ROWS, 1))
            print(_row(bits, codes, pool), flush=True)


def _row(bits: int, codes: Codes, pool: ThreadPoolExecutor) -> str:
    mine = [best(work, codes.size) for work in ours(codes, bits, pool)]
    cells = [f"{bits}", *(f"{speed:.1f}" for speed in mine)]
    for peer, given in ((compressed_tensors, codes[:PART_ROWS]), (hqq, codes)):
        other = peer(given, bits)
        if other is None:
            cells += ["-", "-", "-"]
            continue
        theirs = [best(work, given.size) for work in other]
        ratios = (f"{a / b:.1f}" for a, b in zip(mine, theirs, strict=True))
        cells += [*(f"{speed:.2f}" for speed in theirs), " / ".join(ratios)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
