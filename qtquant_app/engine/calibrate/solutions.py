"""What calibration found, block by block, in OUT.partial: codes and scales of matrices, and the factors that were folded.

A block is one file that begins with the sha256 of the rest, so that one that a crash left half written is as none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import SourceError, WriteError
from qtquant_app.core.folding import Folding
from qtquant_app.core.json_text import parse_json
from qtquant_app.engine.output import SOLVED, OutputFolder
from qtquant_app.quant.chunk import QuantizedChunk, RowErrors

_DIGEST = 32
_SAMPLES = "samples"
_OWN = "own"
_PARTS = "packed", "scale", "zero"


@dataclass(frozen=True)
class BlockSolution:
    """What was found for one block: `chunks` by the names of matrices, all rows of each, without errors."""

    block: str
    chunks: Mapping[str, QuantizedChunk] = field(default_factory=dict)
    foldings: Mapping[str, Folding] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """The matrices that it was found for; those without a chunk are rounded by the run, as they were folded."""
    notes: tuple[str, ...] = ()
    """Sentences for the user, such as why a matrix fell back to another method."""

    def to_bytes(self) -> bytes:
        arrays = {
            f"{part}.{name}": np.ascontiguousarray(value)
            for name, chunk in self.chunks.items()
            for part in _PARTS
            if (value := getattr(chunk, part)) is not None
        }
        foldings = {name: folding.to_json() for name, folding in self.foldings.items()}
        said = {"foldings": foldings, "names": self.names, "notes": self.notes}
        data: bytes = save(arrays, {"block": self.block, "said": json.dumps(said)})
        return hashlib.sha256(data).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes) -> BlockSolution:
        """The inverse of `to_bytes`. Raises ValueError where the data are damaged."""
        body = data[_DIGEST:]
        if hashlib.sha256(body).digest() != data[:_DIGEST]:
            raise ValueError("the checksum is wrong")
        header = parse_json(body[8 : 8 + int.from_bytes(body[:8], "little")].decode())["__metadata__"]
        said, parts = parse_json(header["said"]), _by_name(load(body))
        return cls(
            header["block"],
            {name: _chunk(found) for name, found in parts.items()},
            {name: Folding.from_json(item) for name, item in said["foldings"].items()},
            tuple(map(str, said["names"])),
            tuple(map(str, said["notes"])),
        )


def _by_name(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for key, value in arrays.items():
        part, _, name = key.partition(".")
        found.setdefault(name, {})[part] = value
    return found


def _chunk(parts: Mapping[str, NDArray[Any]]) -> QuantizedChunk:
    return QuantizedChunk(parts["packed"], parts["scale"], parts.get("zero"), RowErrors.concat(()))


class Solutions:
    """The solved blocks in a folder, numbered in the order in which the model runs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / SOLVED
        self._where: dict[str, int] = {}
        self._foldings: dict[str, Folding] = {}
        self._known: set[int] = set()
        self._lock = Lock()
        self._load = lru_cache(maxsize=2)(self._read)

    def find(self, number: int, block: str) -> BlockSolution | None:
        """Block `number`, where it is there, whole, and is called `block`."""
        found = self._there(number)
        if found is None or found.block != block:
            return None
        self._note(number, found)
        return found

    def _there(self, number: int) -> BlockSolution | None:
        with suppress(OSError, ValueError, KeyError, TypeError, SafetensorError):
            return self._load(number)
        return None

    def gathered(self) -> set[str]:
        """The matrices that the blocks which are there were solved for."""
        number, found = 0, set[str]()
        while (solution := self._there(number)) is not None:
            self._note(number, solution)
            found |= set(solution.names)
            number += 1
        return found

    def write(self, out: OutputFolder, number: int, solution: BlockSolution) -> None:
        """Keeps what was found. Raises WriteError; then it can be called again."""
        out.write_whole(f"{SOLVED}/{number:05d}", solution.to_bytes())
        self._note(number, solution)

    def check_samples(self, out: OutputFolder, sha256: str) -> None:
        """Notes which samples are looked at. Raises SourceError where blocks were solved with others."""
        try:
            before = (self._folder / _SAMPLES).read_text()
        except OSError:
            out.write_whole(f"{SOLVED}/{_SAMPLES}", sha256.encode())
            return
        if before != sha256:
            raise SourceError(
                "the samples to calibrate with have changed since the run began",
                hint="put them back, or start again with --overwrite",
                code="calibration-changed",
            )

    def own_words(self) -> NDArray[np.int64] | None:
        """What the model wrote for itself to read, [samples, tokens], where that is there and whole."""
        with suppress(OSError, ValueError, KeyError, SafetensorError):
            data = (self._folder / _OWN).read_bytes()
            if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST]:
                tokens: NDArray[np.int64] = load(data[_DIGEST:])["tokens"]
                return tokens
        return None

    def keep_own_words(self, out: OutputFolder, tokens: NDArray[np.int64]) -> None:
        """Keeps what the model wrote, for a run that is gone on with."""
        data: bytes = save({"tokens": tokens})
        out.write_whole(f"{SOLVED}/{_OWN}", hashlib.sha256(data).digest() + data)

    def _note(self, number: int, solution: BlockSolution) -> None:
        self._known.add(number)
        self._where |= dict.fromkeys(solution.chunks, number)
        self._foldings |= solution.foldings

    def all(self) -> Iterator[BlockSolution]:
        """Those that are known, in order, one at a time."""
        for number in sorted(self._known):
            yield self._load(number)

    @property
    def foldings(self) -> Mapping[str, Folding]:
        """Of all blocks that were found or written."""
        return self._foldings

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def rows(self, tensor: TensorInfo, start: int, stop: int) -> QuantizedChunk:
        """The rows of a matrix that was solved. Raises WriteError where its file is gone or damaged."""
        with self._lock:
            try:
                chunk = self._load(self._where[tensor.name]).chunks[tensor.name]
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                raise WriteError(
                    f"what calibration found for {tensor.name} is gone from {self._folder}",
                    hint="go on with --resume: the block is calibrated again",
                    code="solution",
                ) from None
        whole = len(chunk.scale) != len(chunk.packed)
        own = slice(None) if whole else slice(start, stop)
        zero = None if chunk.zero is None else chunk.zero[own]
        return QuantizedChunk(chunk.packed[start:stop], chunk.scale[own], zero, chunk.errors)

    def _read(self, number: int) -> BlockSolution:
        return BlockSolution.from_bytes((self._folder / f"{number:05d}").read_bytes())
