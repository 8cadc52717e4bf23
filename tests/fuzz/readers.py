"""Every reader of files that somebody else may have made, each as one function of bytes, with good files to start from.

A reader may return or raise a QtQuantError with a short sentence. Anything else is a finding.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qtquant_app.cli.units import parse_size
from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.described import modest, own_words
from qtquant_app.core.errors import QtQuantError, SourceError
from qtquant_app.core.fitting import fitted
from qtquant_app.core.job import JobOptions, JobState, new_job
from qtquant_app.core.json_text import parse_json
from qtquant_app.core.kv_cache import kv_cache
from qtquant_app.core.matching import deciders, named
from qtquant_app.core.patterns import compiled
from qtquant_app.core.preset import Preset
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme_label import parse_label, parse_rule
from qtquant_app.engine.hub import hub_id
from qtquant_app.engine.inspect import describe
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.journal import read_journal
from qtquant_app.engine.packed.layout import layout_of
from qtquant_app.engine.pickle_check import check_pickle
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.recipes import read_recipe
from qtquant_app.engine.safetensors_header import Header, parse_header, read_header
from qtquant_app.engine.scan_cache import ScanCache
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.speeds import Speeds, seconds_of
from qtquant_app.engine.state_dict import read_state_dict
from qtquant_app.engine.text import read_text
from qtquant_app.engine.verify import result_plan
from qtquant_app.formats.gguf.container import parse_gguf_header
from tests.fuzz import calibration, publishing, samples
from tests.fuzz.hub_answers import answering
from tests.fuzz.mutation import LONGEST

_ENDS = re.compile(rb"(\d{1,30})\s*\]\s*\}")

LONGEST_SENTENCE = 2_000
"""Characters of an error's message: it names what is wrong, and does not repeat the file."""


@dataclass(frozen=True)
class Reader:
    """`read` is given the bytes and an empty folder of its own, which it may leave anything in."""

    name: str
    read: Callable[[bytes, Path], object]
    seeds: Callable[[], Sequence[bytes]]
    share: float = 1.0
    """How many executions it gets in the measure of the others: those that take long get fewer."""
    expressions: int = 0
    """Bytes that Python's compiler of regular expressions may take for each byte of the file, besides."""
    bulk: bool = False
    """Whether it is tried with files of megabytes, too: it makes something for each part of them."""


def outcome(reader: Reader, data: bytes, folder: Path) -> str:
    """What came of one execution: "" where it was read, else the sentence that refused it. Raises whatever else the reader does."""
    try:
        reader.read(data, folder)
    except QtQuantError as error:
        assert error.message and len(error.message) <= LONGEST_SENTENCE, f"a message of {len(error.message)} characters"
        assert "\n" not in error.message.removesuffix("\n") or "\\n" in error.message, repr(error.message)
        return error.message
    return ""


def _header(data: bytes, folder: Path) -> object:
    """As it is; and if it is short with the length that it has, too, and as many bytes of tensors as it says."""
    if len(data) <= LONGEST:
        with suppress(QtQuantError):
            parse_header(_mended(data))
    (folder / "x.safetensors").write_bytes(data)
    return read_header(folder, "x.safetensors")


def _mended(data: bytes) -> Header:
    text = data[8 : data.rfind(b"}") + 1]
    ends = [int(end) for end in _ENDS.findall(text)]
    return Header("x", 8 + len(text) + max(ends, default=0), text)


def _index(data: bytes, folder: Path) -> object:
    samples.shards(folder)
    (folder / "model.safetensors.index.json").write_bytes(data)
    return open_checkpoint(folder)


def _config(data: bytes, folder: Path) -> object:
    samples.shards(folder)
    (folder / "config.json").write_bytes(data)
    found = open_checkpoint(folder)
    modest(found.config, 3)
    json.dumps(own_words(found.config))
    kv_cache(found.config, 4096)
    return describe(found)


@cache
def _checkpoint() -> Checkpoint:
    names = [f"model.layers.{i}.{part}.weight" for i in range(3) for part in ("self_attn.q_proj", "mlp.down_proj")]
    names += ["lm_head.weight", "a" * 500 + ".weight", "\u202e<b>.weight", ".weight", "x\n.weight"]
    listed = tuple(TensorInfo(name, "F32", (8, 8), "m", 0, 256) for name in names)
    return Checkpoint(Path(), Path(), "x", listed, ("m",))


def _recipe(data: bytes, folder: Path) -> object:
    recipe = Recipe.loads(data)
    assert Recipe.loads(recipe.dumps()) == recipe
    deciders(recipe, _checkpoint())
    return fitted(recipe, _checkpoint())


def _record(data: bytes, folder: Path) -> object:
    (folder / "qtquant.json").write_bytes(data)
    plan = result_plan(folder)
    return plan.digest, plan.to_json()


def _journal(data: bytes, folder: Path) -> object:
    """Lines that begin with a brace get the checksum that makes them count."""
    with (folder / "journal.jsonl").open("wb") as stream:
        for line in io.BytesIO(data):
            end = len(line) - line.endswith(b"\n") - 1
            if not line.startswith(b"{"):
                stream.write(line)
                continue
            stream.write(memoryview(line)[:end])
            stream.write(b', "crc": "%08x"}\n' % zlib.crc32(b"}", zlib.crc32(memoryview(line)[:end])))
            del line
    past = read_journal(folder)
    return past and [errors and errors.sqnr_db for errors in past.tensors.values()]


def _archive(data: bytes, folder: Path) -> object:
    (folder / "x.bin").write_bytes(data)
    return read_state_dict(folder, "x.bin")


def _pickle(data: bytes, folder: Path) -> object:
    return check_pickle(data, "x.bin")


def _words(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _label(data: bytes, folder: Path) -> object:
    with suppress(QtQuantError):
        parse_rule(_words(data))
    return parse_label(_words(data)).label


def _pattern(data: bytes, folder: Path) -> object:
    checkpoint = _checkpoint()
    checkpoint.matched.clear()
    text = _words(data)
    found = compiled(text)
    for name in ("a" * 60, "model.layers.0.mlp.down_proj", "ab" * 40 + "!"):
        found.search(name)
    return named(checkpoint, text)


def _size(data: bytes, folder: Path) -> object:
    assert parse_size(_words(data)) >= 0
    return hub_id(_words(data)[:200])


def _cache(data: bytes, folder: Path) -> object:
    for file in folder.glob("scans*"):
        file.unlink()
    (folder / "scans.sqlite3").write_bytes(data)
    with ScanCache(folder / "scans.sqlite3") as cache_:
        cache_.hashes([b"k"])
        for known in cache_.known([b"k", b"l"]).values():
            [sums.sqnr_db for sums in known.sums.values()]
        cache_.learn(b"l", samples.known())
    return None


def _preset(data: bytes, folder: Path) -> object:
    return Preset.loads(data).dumps()


def _speeds(data: bytes, folder: Path) -> object:
    try:
        speeds = Speeds.from_json(parse_json(data))
    except ValueError:  # what `known_speeds` takes for "nothing is known"
        return None
    assert seconds_of([], [], 0, 2, "full", speeds) >= 0
    return speeds


def _text(data: bytes, folder: Path) -> object:
    (folder / "x.jsonl").write_bytes(data)
    (folder / "x.txt").write_bytes(data)
    with suppress(QtQuantError):
        read_text(str(folder / "x.txt")).halves()
    return list(read_text(str(folder / "x.jsonl")).slices(4, 100))


def _job(data: bytes, folder: Path) -> object:
    """Whatever the file says, the store shows what it can and can be worked with."""
    (folder / "a1.json").write_bytes(data)
    store = JobStore(folder)
    found = store.jobs().records
    for job in found:
        assert store.get(job.id) == job and job.id == "a1"
        store.put_first(job.id)
    assert store.add(new_job("sample", "", Recipe(), JobOptions("/nowhere"), 1.0)).state is JobState.WAITING
    for job in store.jobs().records:
        store.remove(job.id)
    if not found:
        raise SourceError("there is no job in it")
    return found


def _hub(data: bytes, folder: Path) -> object:
    with answering(data, folder / "a" / "b" / "c" / "d"):
        return read_recipe("org/name")


def _gguf(data: bytes, folder: Path) -> object:
    try:
        return parse_gguf_header(lambda offset, count: data[offset : offset + count], len(data))
    except ValueError as error:
        raise SourceError(f"x.gguf {error}") from None


def _packed(data: bytes, folder: Path) -> object:
    """A config, a zero byte, and the JSON of a safetensors header; the tensors that it describes are made up."""
    config, _, header = data.partition(b"\0")
    end = min(max([int(end) for end in _ENDS.findall(header)], default=0), _MOST_DATA)
    body = (bytes(range(256)) * (end // 256 + 1))[:end]
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)
    (folder / "config.json").write_bytes(config)
    return _decoded(folder)


def _gguf_source(data: bytes, folder: Path) -> object:
    (folder / "model.gguf").write_bytes(data)
    return _decoded(folder / "model.gguf")


def _decoded(path: Path) -> object:
    """All that is quantized in a checkpoint, its first rows decoded and its small tensors looked at."""
    found = open_checkpoint(path)
    describe(found)
    with TensorReader(found) as reader:
        for tensor in found.tensors:
            if tensor.packed is not None and tensor.nbytes:
                layout, columns = layout_of(tensor.packed), tensor.shape[-1]
                reader.bytes_of(tensor, 0, min(tensor.nbytes, 2 * columns * tensor.nbytes // tensor.parameters))
                list(layout.examine(reader, tensor.packed, columns))
                layout.order(reader, tensor.packed)
    return found.packed_by


_EXPRESSION = 512
_MOST_DATA = 1 << 16

READERS = (
    Reader("header", _header, samples.headers, 2, bulk=True),
    Reader("index", _index, samples.indexes, bulk=True),
    Reader("config", _config, samples.configs, bulk=True),
    Reader("recipe", _recipe, samples.recipes, 2, _EXPRESSION, bulk=True),
    Reader("record", _record, samples.records, bulk=True),
    Reader("card", publishing.card, publishing.records),
    Reader("card_head", publishing.card_head, publishing.heads, 2),
    Reader("upload", publishing.upload, publishing.uploads),
    Reader("journal", _journal, samples.journals, bulk=True),
    Reader("archive", _archive, samples.archives, 0.1),
    Reader("pickle", _pickle, samples.pickles),
    Reader("label", _label, samples.labels, 2, _EXPRESSION),
    Reader("pattern", _pattern, samples.patterns, 1, _EXPRESSION),
    Reader("size", _size, samples.sizes, 2),
    Reader("cache", _cache, samples.caches, 0.1),
    Reader("preset", _preset, samples.presets, 1, _EXPRESSION, bulk=True),
    Reader("speeds", _speeds, samples.speeds),
    Reader("text", _text, samples.texts),
    Reader("chats", calibration.chats, calibration.chat_lines),
    Reader("sound", calibration.sound, calibration.sounds, 0.3),
    Reader("picture", calibration.picture, calibration.pictures, 0.3),
    Reader("job", _job, samples.jobs, 0.2, _EXPRESSION, bulk=True),
    Reader("hub", _hub, samples.hub_answers, 0.02, _EXPRESSION),
    Reader("gguf", _gguf, samples.ggufs, 2),
    Reader("packed", _packed, samples.packed_checkpoints, 0.3),
    Reader("gguf_source", _gguf_source, samples.gguf_sources, 0.3),
)
