"""What came of a run, a verification, a preview: values that front ends print or show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, inf, log10, sqrt
from typing import Any

from qtquant_app.core.coverage import low_coverage_text
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.scheme import Scheme


@dataclass(frozen=True, slots=True)
class ErrorSums:
    """Sums over the weights of a tensor, from which each error measure follows; e = w - dequantized(w)."""

    weights: int
    square_error: float
    """Sum of e^2."""
    square_weight: float
    """Sum of w^2."""
    square_dequantized: float
    """Sum of dequantized(w)^2."""
    max_error: float
    """Largest |e|."""
    repaired: int = 0
    """How many of the weights were not finite in the source, and were replaced before anything else."""

    @property
    def mse(self) -> float:
        return self.square_error / self.weights if self.weights else 0.0

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization-noise ratio, 10 log10(sum w^2 / sum e^2), in dB; infinite where there is no error."""
        if self.square_error == 0:
            return inf
        ratio = self.square_weight / self.square_error  # 0 too where a dequantized weight overflows float32
        return 10 * log10(ratio) if ratio else -inf

    @property
    def relative_error(self) -> float:
        """||e|| / ||w||."""
        if self.square_error == 0:
            return 0.0
        return sqrt(self.square_error / self.square_weight) if self.square_weight else inf

    @property
    def cosine(self) -> float:
        """Cosine between weights and dequantized weights; 1.0 for two zero vectors, 0.0 where one is infinite."""
        norms = sqrt(self.square_weight * self.square_dequantized)
        if norms in (0.0, inf):
            return 1.0 if norms == 0 and self.square_weight == self.square_dequantized else 0.0
        dot = (self.square_weight + self.square_dequantized - self.square_error) / 2
        return max(-1.0, min(1.0, dot / norms))

    @staticmethod
    def added(parts: Iterable[ErrorSums]) -> ErrorSums:
        """Several tensors, or parts of one, taken as one; exactly rounded, so that their order does not matter."""
        parts = list(parts)
        return ErrorSums(
            weights=sum(part.weights for part in parts),
            square_error=fsum(part.square_error for part in parts),
            square_weight=fsum(part.square_weight for part in parts),
            square_dequantized=fsum(part.square_dequantized for part in parts),
            max_error=max((part.max_error for part in parts), default=0.0),
            repaired=sum(part.repaired for part in parts),
        )

    @classmethod
    def from_json(cls, data: object) -> ErrorSums:
        """The inverse of `dataclasses.asdict`. Raises ValueError naming what is of another kind than it should be."""
        read = Fields(data)
        error, weight, back = (read.number(f"square_{name}") for name in ("error", "weight", "dequantized"))
        largest, repaired = read.number("max_error"), read.optional_count("repaired") or 0
        if min(error, weight, back, largest) < 0:
            raise ValueError("a sum of squares is negative")
        return cls(read.count("weights"), error, weight, back, largest, repaired)

    def to_json(self) -> dict[str, float | None]:
        return {
            "mse": finite(self.mse),
            "sqnr_db": finite(self.sqnr_db),
            "relative_error": finite(self.relative_error),
            "max_error": finite(self.max_error),
            "cosine": self.cosine,
        }


def finite(value: float) -> float | None:
    """JSON has no infinity: None stands for it (an SQNR without any error)."""
    return None if value in (inf, -inf) or value != value else value


@dataclass(frozen=True, slots=True)
class TensorReport:
    """One quantized tensor: its errors and what it takes on disk."""

    name: str
    scheme: Scheme
    bytes: int
    errors: ErrorSums

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "scheme": self.scheme.to_json(), "bytes": self.bytes, **self.errors.to_json()}


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the model was quantized."""

    quantized: int
    kept: int
    parameters_quantized_percent: float

    @property
    def low(self) -> bool:
        """Whether much less was quantized than there is."""
        return self.quantized > 0 and bool(low_coverage_text(self.parameters_quantized_percent))

    def to_json(self) -> dict[str, Any]:
        return {
            "quantized": self.quantized,
            "kept": self.kept,
            "parameters_quantized_percent": self.parameters_quantized_percent,
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was said of a run before it: bytes and seconds."""

    output_bytes: int
    disk_bytes: int
    peak_ram_bytes: int
    peak_device_bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "output_bytes": self.output_bytes,
            "disk_bytes": self.disk_bytes,
            "peak_ram_bytes": self.peak_ram_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Shortages:
    """What a run did for want of device memory."""

    halved: int = 0
    """How often a chunk did not fit and was halved."""
    on_cpu: tuple[str, ...] = ()
    """Tensors of which a single row did not fit, so that the CPU worked on them."""

    def to_json(self) -> dict[str, Any]:
        return {"halved": self.halved, "on_cpu": list(self.on_cpu)}


@dataclass(frozen=True, slots=True)
class RunReport:
    """The result of `engine.quantize.run`."""

    output: str
    format: str
    output_bytes: int
    bits_per_weight: float
    seconds: float
    peak_ram_bytes: int
    coverage: Coverage
    tensors: tuple[TensorReport, ...]
    verified: bool
    sha256: Mapping[str, str]
    disk_bytes: int = 0
    """What the planned files take, those carried over among them."""
    peak_device_bytes: int = 0
    """0 on the CPU, and where the device does not count."""
    predicted: Forecast | None = None
    """What the plan had said; None where the report is of no run."""
    max_memory: int | None = None
    """The ceiling on main memory that was given."""
    max_device_memory: int | None = None
    shortages: Shortages = field(default_factory=Shortages)

    @property
    def repaired(self) -> dict[str, int]:
        """How many weights of each tensor were not finite and were replaced, where there were any."""
        return {tensor.name: tensor.errors.repaired for tensor in self.tensors if tensor.errors.repaired}

    def to_json(self) -> dict[str, Any]:
        return {
            "output": self.output,
            "format": self.format,
            "output_bytes": self.output_bytes,
            "bits_per_weight": self.bits_per_weight,
            "seconds": self.seconds,
            "peak_ram_bytes": self.peak_ram_bytes,
            "coverage": self.coverage.to_json(),
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "verified": self.verified,
            "sha256": dict(self.sha256),
            "disk_bytes": self.disk_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "predicted": None if self.predicted is None else self.predicted.to_json(),
            "max_memory": self.max_memory,
            "max_device_memory": self.max_device_memory,
            "shortages": self.shortages.to_json(),
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is not as it should be: the file or tensor, and a sentence."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of `engine.verify.verify`."""

    files: int
    tensors: int
    mismatches: tuple[Mismatch, ...]
    compared: tuple[TensorReport, ...] = ()
    """Errors measured from the files against the base, where one was given."""

    @property
    def ok(self) -> bool:
        return not self.mismatches

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "files": self.files,
            "tensors": self.tensors,
            "mismatches": [{"where": m.where, "text": m.text} for m in self.mismatches],
            "compared": [tensor.to_json() for tensor in self.compared],
        }
