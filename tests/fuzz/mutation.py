"""Makes hostile files from good ones: bytes, words and numbers changed, parts of JSON exchanged, pieces of others put in."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

LONGEST = 1 << 14
"""Bytes of a mutant; what is longer is cut."""

NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    65535,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    1 << 64,
)
WORDS = (
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"9" * 5000,
    b"[" * 200,
    b'{"a":' * 200,
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\x1b[31m",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"C:\\\\x",
    b"re:(a+)+b",
    b"re:(.*)*\\1",
    b"<img src=x onerror=alert(1)>",
    "\u202e".encode(),
    b"__metadata__",
    b"dtype",
    b"F4",
    b"weight_map",
    b"a" * 300,
    b",",
    b":",
    b"]",
    b"}",
    b'"',
    b"\n",
)
BULK = (
    b'"0":"",',
    b'"0":0,',
    b'"0",',
    b"[],",
    b"{},",
    b"0,",
    b'"":[0,0,0,0],',
    b'"0":{"dtype":"F4","shape":[0],"data_offsets":[0,0]},',
    b'"__metadata__":{"0":""},',
    b'{"pattern":"0","scheme":"keep"},',
    b"\n{}\n",
)
"""What takes the most memory for its length, for JSON to hold many of."""

_COUNTED = re.compile(rb"\d+|(?<=\")[a-z](?=\")")
VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    [],
    {},
    [[]],
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    1 << 62,
    1 << 64,
    10**300,
    "\ud800",
    "..",
    "/",
    "a" * 300,
    [0] * 70,
    ["re:(a|a)*$"],
    {"a": {"a": {"a": 1}}},
)


def mutated(random: Random, pool: Sequence[bytes], words: Sequence[bytes] = WORDS) -> bytes:
    """One of `pool`, changed in one to six places."""
    data = random.choice(pool)
    if random.random() < 0.4:
        data = _restructured(random, data)
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        data = _changed(random, data, pool, words)
    return data[: max(LONGEST, 2 * len(pool[0]))]


def swollen(random: Random, data: bytes, size: int) -> bytes:
    """`data` with a piece of it repeated up to `size` bytes, the numbers and single letters in it counted up: many names, many
    values, many of whatever it is that a reader makes one of for each."""
    at = random.randrange(len(data) + 1)
    piece = data[at : at + random.choice((4, 8, 16, 64, 256, 1024))]
    if random.random() < 0.4:
        piece = random.choice(BULK)
    counted = _COUNTED.sub(b"%x", piece.replace(b"%", b""), count=1)
    times = size // max(1, len(counted))
    if b"%x" in counted:
        return data[:at] + b"".join(counted % number for number in range(times)) + data[at:]
    return data[:at] + counted * times + data[at:]


def _changed(random: Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    to = min(len(data), at + random.choice((1, 1, 2, 4, 8, 32, 256)))
    match random.randrange(8):
        case 0:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[to:]
        case 2:
            return data[:to] + data[at:]
        case 3:
            return data[:at] + random.choice(words) + data[at:]
        case 4:
            return data[:at] + random.choice(words) + data[to:]
        case 5:
            return data[:at] + str(random.choice(NUMBERS)).encode() + data[to:]
        case 6:
            number, width = random.choice(NUMBERS), random.choice((1, 2, 4, 8))
            return data[:at] + (number % (1 << 8 * width)).to_bytes(width, "little") + data[at + width :]
        case _:
            other = random.choice(pool)
            cut = random.randrange(len(other) + 1)
            return data[:at] + other[cut : cut + random.choice((8, 64, 512))] + data[to:]


def _restructured(random: Random, data: bytes) -> bytes:
    """JSON with one value exchanged, doubled or taken away, whatever stands before and after it; else the data as they are."""
    start, end = data.find(b"{"), data.rfind(b"}") + 1
    try:
        document = json.loads(data[start:end])
    except (ValueError, RecursionError):
        return data
    places = list(_places(document))
    if not places:
        return data
    holder, key = random.choice(places)
    match random.randrange(5):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key], holder[key]]
        case 2:
            other, at = random.choice(places)
            holder[key] = other.get(at) if isinstance(other, dict) else other[at] if at < len(other) else None
        case 3:
            holder[key] = random.choice(NUMBERS)
        case _:
            holder[key] = random.choice(VALUES)
    try:
        return data[:start] + json.dumps(document).encode() + data[end:]
    except (ValueError, RecursionError):  # a part was put into itself
        return data


def _places(value: Any) -> Any:
    """Every (list or object, key) within."""
    left = [value]
    while left:
        item = left.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            yield item, key
            left.append(item[key])
