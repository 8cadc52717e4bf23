"""Large files that hold as many values as they can: no reader takes more than twice their size, and a megabyte and a half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import samples
from tests.fuzz.memory import allowed, peak_of
from tests.fuzz.mutation import swollen
from tests.fuzz.readers import READERS, Reader, outcome

NAMED = {reader.name: reader for reader in READERS}
MANY = 15_000


def listed(item: str, count: int = MANY) -> str:
    """So many of `item`, each with a number of its own for the # in it."""
    return ",".join(item.replace("#", f"{at:x}") for at in range(count))


def header(entries: str, data: bytes = b"") -> bytes:
    text = ("{" + entries + "}").encode()
    return len(text).to_bytes(8, "little") + text + data


def full_header() -> bytes:
    """As long as a header may be that has tensors of no bytes, and one that makes up for them."""
    entries = listed('"#":{"dtype":"F4","shape":[0],"data_offsets":[0,0]}', 10_000)
    length = 8 * len(entries)
    large = f',"large":{{"dtype":"U8","shape":[{length}],"data_offsets":[0,{length}]}}'
    return header(entries + large, bytes(length))


def journal(item: str) -> bytes:
    """Lines with the checksums that the reader's entry in READERS would give them."""
    start = samples.journals()[0].splitlines(keepends=True)[0]
    return start + "".join(item.replace("#", f"{at:x}") + "\n" for at in range(MANY)).encode()


def record(**parts: str) -> bytes:
    """A good record, with text put into the lists of its plan."""
    text = samples.records()[0].decode()
    for key, items in parts.items():
        text = text.replace(f'"{key}": [', f'"{key}": [{items},', 1).replace(f"{items},]", f"{items}]")
    return text.encode()


TENSOR = (
    '{"name":"#","module":"","kind":"","dtype":"F4","shape":[],"action":"keep","scheme":null,"bytes":0,"reason":"",'
    '"source_bytes":0,"rule":null}'
)
OUT = '{"name":"#","dtype":"F4","shape":[],"offset":0,"nbytes":0,"source":"#","role":"kept"}'
LINE = '{"kind":"tensor","name":"#","errors":null}'

HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "short texts for tensors": ("header", lambda: header(listed('"#":""'))),
    "metadata of many names": ("header", lambda: header('"__metadata__":{' + listed('"#":""') + "}")),
    "tensors of no bytes": ("header", lambda: header(listed('"#":{"dtype":"F4","shape":[0],"data_offsets":[0,0]}'))),
    "tensors of no bytes beside a large one": ("header", full_header),
    "a list for a tensor": ("header", lambda: header('"a":[' + listed("[]") + "]")),
    "many names": (
        "index",
        lambda: b'{"weight_map":{%b}}' % listed('"#":"model-1.safetensors"').encode(),
    ),
    "a file for each name": ("index", lambda: b'{"weight_map":{%b}}' % listed('"":"#"').encode()),
    "a number for each name": ("index", lambda: b'{"weight_map":{%b}}' % listed('"#":0').encode()),
    "metadata of an index": ("index", lambda: b'{"metadata":{%b}}' % listed('"#":""').encode()),
    "short keys": ("config", lambda: b"{%b}" % listed('"#":0').encode()),
    "short keys, as many as are read": ("config", lambda: b"{%b}" % listed('"#":0', 3_500).encode()),
    "lists": ("config", lambda: b'{"a":[%b]}' % listed("[]", 10_000).encode()),
    "patterns": ("recipe", lambda: b'{"ignore":[%b]}' % listed('"#"').encode()),
    "rules of lists": ("recipe", lambda: b'{"rules":[%b]}' % listed("[[],[],[],[]]", 4_000).encode()),
    "unknown keys": ("recipe", lambda: b"{%b}" % listed('"#":""').encode()),
    "lists of lists": ("recipe", lambda: b"{%b}" % listed(f'"#":[{listed("0", 4_000)}]', 60).encode()),
    "runtimes": ("preset", lambda: samples.presets()[0].replace(b'["vllm"]', b"[%b]" % listed('"#"').encode())),
    "tensors of a plan": ("record", lambda: record(tensors=listed(TENSOR, 2_000))),
    "warnings": ("record", lambda: record(warnings=listed('{"code":"","text":"#"}'))),
    "rules of a plan": ("record", lambda: record(rules=listed('{"pattern":"#","matches":0,"bytes":0}'))),
    "hashes": (
        "record",
        lambda: samples.records()[0].replace(b'"sha256": {', b'"sha256": {%b,' % listed('"#":""').encode()),
    ),
    "tensors that were kept": ("journal", lambda: journal(LINE)),
    "files": ("journal", lambda: journal('{"kind":"shard","file":"#","sha256":""}')),
    "a line of names": ("journal", lambda: b'{"kind": "start", %b}' % listed('"#":""').encode()),
    "lines of a log": ("job", lambda: samples.jobs()[0].replace(b'"log": []', b'"log": [%b]' % listed('"#"').encode())),
    "options": ("job", lambda: samples.jobs()[0].replace(b'"threads": 3', listed('"#": 3').encode())),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_of_many_values_takes_no_more_than_twice_its_size(what: str, tmp_path: Path) -> None:
    name, made = HOSTILE[what]
    reader, data = NAMED[name], made()
    for seed in reader.seeds():
        outcome(reader, seed, tmp_path)  # what is imported and compiled once is no reader's doing
    assert peak_of(reader, data, tmp_path) <= allowed(reader, data), f"{len(data):,} bytes"


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader.bulk], ids=lambda reader: reader.name)
def test_good_files_made_large_by_a_piece_of_them_do_not_either(reader: Reader, tmp_path: Path) -> None:
    random = Random(reader.name)
    for seed in reader.seeds():
        outcome(reader, seed, tmp_path)
    for _ in range(4):
        data = swollen(random, random.choice(reader.seeds()), 300_000)
        assert peak_of(reader, data, tmp_path) <= allowed(reader, data), data[:200]


def test_the_samples_are_what_they_are_meant_to_be(tmp_path: Path) -> None:
    """Those that are good files are read: it is not their refusal that takes no memory."""
    read = set()
    for at, (what, (name, made)) in enumerate(HOSTILE.items()):
        (tmp_path / str(at)).mkdir()
        if not outcome(NAMED[name], made(), tmp_path / str(at)):
            read.add(what)
    assert {"tensors of no bytes beside a large one", "tensors of a plan", "tensors that were kept"} <= read
    assert {"short keys, as many as are read", "lines of a log"} <= read
