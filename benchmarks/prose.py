"""Prose that no calibration saw: a novel of Jane Austen's (public domain) out of a Debian package, as one plain text file.

usage: apt-get download r-cran-janeaustenr && dpkg-deb -x r-cran-janeaustenr_*.deb austen
       python -m benchmarks.prose austen/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb prose.txt [--book 1]

Book 1 is Mansfield Park, on which the tables of methods are judged: 883 kB, its paragraphs joined to one line each. Version 1.0.0
of the package gives the file whose sha256 is in SHA256; the script ends with status 1 where another book 1 comes out.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

SHA256 = "53abe640dc7461f04faca70c2eb5fa3e804a6742f5d165624dcd597ef0337a3e"

_NAMED_TEXT = 9
"""The number of R's serialization for one string, in the low byte of its flags; -1 for its length is a missing one."""


def objects(packed: bytes) -> Iterator[bytes]:
    """The serialized objects of an R database of data: each is four bytes of length, big-endian, and a stream of zlib."""
    while packed:
        stream = zlib.decompressobj()
        yield stream.decompress(packed[4:])
        packed = stream.unused_data


def lines(serialized: bytes) -> Iterator[str]:
    """The strings of a serialized vector of strings (format 3, XDR).

    After "X\\n" stand three numbers of versions, the length and name of the encoding, the vector's flags and its length; then of
    each string flags, length and bytes. Raises ValueError for anything else.
    """
    encoding = struct.unpack_from(">I", serialized, 14)[0]
    at = 18 + encoding
    flags, count = struct.unpack_from(">II", serialized, at)
    if serialized[:2] != b"X\n" or flags & 255 != 16:
        raise ValueError("this is no vector of strings in R's third format")
    at += 8
    for _ in range(count):
        flags, length = struct.unpack_from(">Ii", serialized, at)
        if flags & 255 != _NAMED_TEXT:
            raise ValueError("there is something other than strings in the vector")
        yield serialized[at + 8 : at + 8 + max(0, length)].decode("utf-8")
        at += 8 + max(0, length)


def paragraphs(wrapped: Iterator[str]) -> str:
    """Lines as paragraphs with an empty line between."""
    parts = (
        " ".join(line.strip() for line in run) for filled, run in groupby(wrapped, lambda s: bool(s.strip())) if filled
    )
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a novel out of r-cran-janeaustenr as plain text.")
    parser.add_argument("database", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--book", type=int, default=1)
    options = parser.parse_args()
    text = paragraphs(lines(list(objects(options.database.read_bytes()))[options.book])).encode()
    options.out.write_bytes(text)
    found = hashlib.sha256(text).hexdigest()
    print(f"{len(text):,} bytes, sha256 {found}")
    if options.book == 1 and found != SHA256:
        sys.exit("this is another text than the one that the tables were made with")


if __name__ == "__main__":
    main()
