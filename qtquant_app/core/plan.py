"""A plan: every decision of a run, made from names, shapes and dtypes before a weight is read. It is plain JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, get_args

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme

Action = Literal["quantize", "keep"]
_MOST_WORDS = 10_000
"""Rules and warnings that a plan is read with."""

Role = Literal["codes", "scale", "zero", "shape", "index", "global", "kept", "made"]


class OutTensor(NamedTuple):
    """One tensor of an output file: `nbytes` bytes of `dtype` at byte `offset` of the file, made from `source`; or the part of a
    stack that is, where others have the same name. What is made from none has no source.

    A plan may hold hundreds of thousands of them; a frozen dataclass takes three times as long to make.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    source: str
    role: Role
    axis: int = 0
    """The dimension that runs along the rows of the source."""


@dataclass(frozen=True, slots=True)
class OutFile:
    """One weight file: a header of `header_bytes`, then the tensors in order; `nbytes` in all."""

    name: str
    header_bytes: int
    nbytes: int
    tensors: tuple[OutTensor, ...]
    header_sha256: str = ""
    """Of a header that holds more than the tensors' table."""


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """What becomes of one source tensor, what it then takes on disk, and why."""

    name: str
    module: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    action: Action
    scheme: Scheme | None
    bytes: int
    reason: str
    source_bytes: int
    rule: int | None = None
    """The rule of the recipe that decided it, from 0; None where something else did."""


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What one rule of the recipe came to."""

    pattern: str
    matches: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """Something the user should know before the run: `code` is stable, `text` is a sentence."""

    code: str
    text: str


@dataclass(frozen=True)
class Plan:
    """The resolved decision for each tensor, the exact files that follow from it, and what the run will cost."""

    source: str
    label: str
    fingerprint: str
    architecture: str
    recipe: Recipe
    tensors: tuple[TensorPlan, ...]
    files: tuple[OutFile, ...]
    texts: Mapping[str, str]
    """Small files the run writes whole: config.json, the index, whatever else the format wants; name to content."""
    copied: Mapping[str, int]
    """Files carried over as they are: name to bytes."""
    output_bytes: int
    bits_per_weight: float
    """Bits a quantized weight takes, scales and zero points included; 0.0 where nothing is quantized."""
    peak_ram_bytes: int
    peak_device_bytes: int
    disk_bytes: int
    seconds_estimate: float
    rules: tuple[RulePlan, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    device: str = "cpu"
    max_memory: int | None = None
    seed: int = 0
    max_device_memory: int | None = None
    statistics: str = ""
    """The file that says which columns matter; empty where all count alike."""
    statistics_sha256: str = ""
    calibration: Calibration | None = None
    """The samples that methods look at; None where no tensor's method does."""
    download_bytes: int = 0
    """What the run fetches of the source from where it is; 0 where all of it is here."""
    source_disk_bytes: int = 0
    """Room that fetched weight files take at once while the run works on them, beside `disk_bytes`."""

    @property
    def format(self) -> str:
        return self.recipe.format

    @property
    def copied_bytes(self) -> int:
        return sum(self.copied.values())

    @cached_property
    def quantized(self) -> tuple[TensorPlan, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.action == "quantize")

    @cached_property
    def source_bytes(self) -> int:
        return sum(tensor.source_bytes for tensor in self.tensors)

    @cached_property
    def quantized_source_bytes(self) -> int:
        """Source bytes of what is quantized."""
        return sum(tensor.source_bytes for tensor in self.quantized)

    @property
    def digest(self) -> str:
        """Identifies everything that decides the output's bytes; a resumed run must have the same.

        Two recipes that decide the same for every tensor have the same. What becomes of weights that are not finite is left to the
        run's marks: a run that met none goes on under another policy.
        """
        schemes = {id(tensor.scheme): tensor.scheme and tensor.scheme.to_json() for tensor in self.tensors}
        deciding = {
            "fingerprint": self.fingerprint,
            "format": self.format,
            "tensors": [[tensor.name, schemes[id(tensor.scheme)]] for tensor in self.tensors],
            "files": [file_json(file) for file in self.files],
            "texts": dict(self.texts),
            "seed": self.seed,
        }
        if self.statistics_sha256:
            deciding["statistics"] = self.statistics_sha256
        if self.calibration is not None:
            deciding["calibration"] = self.calibration.to_json()
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The plan as the document of `qtquant plan`, with all that a replay needs besides."""
        return self.outline_json() | {
            "tensors": [tensor_json(tensor) for tensor in self.tensors],
            "files": [file_json(file) for file in self.files],
        }

    def outline_json(self) -> dict[str, Any]:
        """`to_json` with no tensors and no files in their places."""
        return {
            "source": self.source,
            "label": self.label,
            "fingerprint": self.fingerprint,
            "architecture": self.architecture,
            "recipe": self.recipe.to_json(),
            "format": self.format,
            "output_bytes": self.output_bytes,
            "copied_bytes": self.copied_bytes,
            "bits_per_weight": self.bits_per_weight,
            "peak_ram_bytes": self.peak_ram_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "disk_bytes": self.disk_bytes,
            "seconds_estimate": self.seconds_estimate,
            "tensors": [],
            "files": [],
            "texts": dict(self.texts),
            "copied": dict(self.copied),
            "rules": [{"pattern": r.pattern, "matches": r.matches, "bytes": r.bytes} for r in self.rules],
            "warnings": [{"code": w.code, "text": w.text} for w in self.warnings],
            "device": self.device,
            "max_memory": self.max_memory,
            "seed": self.seed,
            "max_device_memory": self.max_device_memory,
            **({"statistics": self.statistics, "statistics_sha256": self.statistics_sha256} if self.statistics else {}),
            **({} if self.calibration is None else {"calibration": self.calibration.to_json()}),
            **({"download_bytes": self.download_bytes} if self.download_bytes else {}),
            **({"source_disk_bytes": self.source_disk_bytes} if self.source_disk_bytes else {}),
        }

    @classmethod
    def from_json(cls, data: object) -> Plan:
        """The inverse of `to_json`. Raises ValueError or UsageError naming what is of another kind than it should be."""
        read = Fields(data)
        return cls(
            source=read.text("source"),
            label=read.text("label"),
            fingerprint=read.text("fingerprint"),
            architecture=read.text("architecture"),
            recipe=Recipe.from_json(read.any("recipe")),
            tensors=tuple(_tensor_from(item) for item in read.items("tensors")),
            files=tuple(_file_from(item) for item in read.items("files")),
            texts=read.texts("texts"),
            copied=read.counts("copied"),
            output_bytes=read.count("output_bytes"),
            bits_per_weight=read.number("bits_per_weight"),
            peak_ram_bytes=read.count("peak_ram_bytes"),
            peak_device_bytes=read.count("peak_device_bytes"),
            disk_bytes=read.count("disk_bytes"),
            seconds_estimate=read.number("seconds_estimate"),
            rules=tuple(_rule_from(Fields(item)) for item in read.items("rules", _MOST_WORDS)),
            warnings=tuple(_warning_from(Fields(item)) for item in read.items("warnings", _MOST_WORDS)),
            device=read.text("device"),
            max_memory=read.optional_count("max_memory"),
            seed=read.count("seed"),
            max_device_memory=read.optional_count("max_device_memory"),
            statistics=read.text_or("statistics"),
            statistics_sha256=read.text_or("statistics_sha256"),
            calibration=_calibration_from(data),
            download_bytes=read.optional_count("download_bytes") or 0,
            source_disk_bytes=read.optional_count("source_disk_bytes") or 0,
        )


def _calibration_from(data: object) -> Calibration | None:
    found = data.get("calibration") if isinstance(data, Mapping) else None
    return None if found is None else Calibration.from_json(found)


def tensor_json(tensor: TensorPlan) -> dict[str, Any]:
    """One of the plan's tensors."""
    return {
        "name": tensor.name,
        "module": tensor.module,
        "kind": tensor.kind,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "action": tensor.action,
        "scheme": None if tensor.scheme is None else tensor.scheme.to_json(),
        "bytes": tensor.bytes,
        "reason": tensor.reason,
        "source_bytes": tensor.source_bytes,
        "rule": tensor.rule,
    }


def _tensor_from(item: object) -> TensorPlan:
    read = Fields(item)
    scheme = read.any("scheme")
    return TensorPlan(
        name=read.text("name"),
        module=read.text("module"),
        kind=_shared(read.text("kind")),
        dtype=_shared(read.text("dtype")),
        shape=_shared_sizes(read.sizes("shape")),
        action=read.one_of("action", get_args(Action)),
        scheme=None if scheme is None else _scheme(json.dumps(scheme)),
        bytes=read.count("bytes"),
        reason=_shared(read.text("reason")),
        source_bytes=read.count("source_bytes"),
        rule=read.optional_count("rule"),
    )


@lru_cache(maxsize=256)
def _shared(text: str) -> str:
    """The text that was there before: a large plan says the same words over and over."""
    return text


@lru_cache(maxsize=256)
def _shared_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return sizes


@lru_cache(maxsize=256)
def _scheme(described: str) -> Scheme:
    return Scheme.from_json(json.loads(described))


def _rule_from(read: Fields) -> RulePlan:
    return RulePlan(read.text("pattern"), read.count("matches"), read.count("bytes"))


def _warning_from(read: Fields) -> PlanWarning:
    return PlanWarning(read.text("code"), read.text("text"))


def file_json(file: OutFile) -> dict[str, Any]:
    """One of the plan's files, its tensors included."""
    return file_outline_json(file) | {"tensors": [out_tensor_json(tensor) for tensor in file.tensors]}


def file_outline_json(file: OutFile) -> dict[str, Any]:
    """`file_json` with no tensors in their place."""
    outline = {"name": file.name, "header_bytes": file.header_bytes, "nbytes": file.nbytes, "tensors": []}
    return outline | {"header_sha256": file.header_sha256} if file.header_sha256 else outline


def out_tensor_json(tensor: OutTensor) -> dict[str, Any]:
    """One tensor of an output file."""
    entry = {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "offset": tensor.offset,
        "nbytes": tensor.nbytes,
        "source": tensor.source,
        "role": tensor.role,
    }
    return entry | {"axis": tensor.axis} if tensor.axis else entry


def _file_from(item: object) -> OutFile:
    read = Fields(item)
    tensors = tuple(_out_tensor_from(Fields(tensor)) for tensor in read.items("tensors"))
    digest = read.text_or("header_sha256")
    return OutFile(read.text("name"), read.count("header_bytes"), read.count("nbytes"), tensors, digest)


def _out_tensor_from(read: Fields) -> OutTensor:
    return OutTensor(
        name=read.text("name"),
        dtype=_shared(read.text("dtype")),
        shape=_shared_sizes(read.sizes("shape")),
        offset=read.count("offset"),
        nbytes=read.count("nbytes"),
        source=_shared(read.text("source")),
        role=read.one_of("role", get_args(Role)),
        axis=min(1, read.optional_count("axis") or 0),
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to carry a plan out; none of it changes the bytes that come out."""

    output: str
    verify: Literal["full", "quick", "none"] = "full"
    resume: bool = False
    overwrite: bool = False
    threads: int | None = None
    command: tuple[str, ...] = field(default=())
    """The command line that asked for the run, kept in qtquant.json."""
    source_shards: Literal["drop", "cache"] = "drop"
    """What becomes of weight files that are fetched for the run: each goes when what was made of it is safe and verified, or all
    stay in the cache that the Hub's tools share."""
