"""A result on disk, as the Publish page shows it: from the run that just ended, or read from its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtquant_app.core.evaluated import Evaluated, evaluations_of
from qtquant_app.core.report import RunReport, TensorReport


@dataclass(frozen=True, slots=True)
class Saved:
    folder: str
    format: str
    output_bytes: int
    bits_per_weight: float
    quantized: int
    kept: int
    seconds: float | None
    """None where a result was opened and not just made."""
    verified: str
    """How the run that made it verified: "full", "quick", "none"."""
    symmetric: bool
    sha256: tuple[tuple[str, str], ...]
    base: str | None
    """The checkpoint it was made from, where that is known."""
    evaluation: Evaluated | None = None
    """What its record says of its quality: the newest."""


def from_report(report: RunReport, verify: str, base: str | None) -> Saved:
    """The result of the run that just ended."""
    return Saved(
        folder=report.output,
        format=report.format,
        output_bytes=report.output_bytes,
        bits_per_weight=report.bits_per_weight,
        quantized=report.coverage.quantized,
        kept=report.coverage.kept,
        seconds=report.seconds,
        verified=verify,
        symmetric=_symmetric(report.tensors),
        sha256=tuple(report.sha256.items()),
        base=base,
    )


def read_saved(folder: str) -> Saved:
    """The result in `folder`, from its qtquant.json. Raises VerifyError where it has none. For a worker."""
    from qtquant_app.core.errors import VerifyError
    from qtquant_app.engine.record import read_record

    record = read_record(Path(folder))
    try:
        return _from_record(folder, record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerifyError(f"the record of {folder} is damaged: {error!r}", code="record") from error


def _from_record(folder: str, record: dict[str, Any]) -> Saved:
    plan = record["plan"]
    told = evaluations_of(record)
    # once through: of a large result they are made one at a time
    schemes = [tensor["scheme"]["symmetric"] for tensor in plan["tensors"] if tensor["action"] == "quantize"]
    return Saved(
        folder=folder,
        format=str(record["format"]),
        output_bytes=int(plan["output_bytes"]),
        bits_per_weight=float(plan["bits_per_weight"]),
        quantized=len(schemes),
        kept=len(plan["tensors"]) - len(schemes),
        seconds=None,
        verified=str(record.get("verified", "none")),
        symmetric=all(schemes),
        sha256=tuple((str(name), str(digest)) for name, digest in record["sha256"].items()),
        base=None,
        evaluation=told[-1] if told else None,
    )


def _symmetric(tensors: tuple[TensorReport, ...]) -> bool:
    return all(tensor.scheme.symmetric for tensor in tensors)
