"""What a run tells about itself: a closed union of values, named in the past tense. Front ends and tests read the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtquant_app.core.plan import Plan
from qtquant_app.core.report import TensorReport
from qtquant_app.core.scan import TensorScan

Stage = Literal["quantize", "write", "verify", "finish", "calibrate", "check", "upload", "fetch"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A job's source is open and its plan made; its run follows."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Work is about to begin. `bytes_total` counts source bytes to read, verification included."""

    tensors: int
    bytes_total: int
    resumed_tensors: int = 0


@dataclass(frozen=True, slots=True)
class StageChanged:
    stage: Stage


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """`bytes` source bytes of `tensor` are through; sum them for progress."""

    tensor: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TensorDone:
    """A tensor is quantized and handed to the file; its errors are those of the codes as packed."""

    report: TensorReport


@dataclass(frozen=True, slots=True)
class TensorKept:
    """A tensor was carried over as it is."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ShardWritten:
    """A weight file is complete inside OUT.partial, with its hash."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FileTransferred:
    """A file was copied as it is."""

    file: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """The source comes in: `done` of the `total` bytes that the run has to fetch are here, those of `file` the last of them."""

    file: str
    done: int
    total: int
    rate: float
    """Bytes a second, lately."""
    seconds_left: float | None
    """None where nothing comes."""


@dataclass(frozen=True, slots=True)
class Warned:
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run cannot go on now, and looks again by itself at each next event that it is asked for; `text` says what for."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A tensor was read back from the written file and compared with its source; `report` says what was found there."""

    report: TensorReport


@dataclass(frozen=True, slots=True)
class TensorScanned:
    """A tensor of a scan has been looked at, or came from the cache."""

    scan: TensorScan
    cached: bool


@dataclass(frozen=True, slots=True)
class TextRead:
    """A model has read on: `done` of `total` tokens are through."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Calibration has moved on: `done` of `total` steps are through, which take about the same time each; `text` says at what."""

    done: int
    total: int
    text: str


Event = (
    Planned
    | RunStarted
    | StageChanged
    | ChunkDone
    | TensorDone
    | TensorKept
    | TensorScanned
    | ShardWritten
    | FileTransferred
    | Fetched
    | Warned
    | Waiting
    | Verified
    | TextRead
    | Calibrated
)
