"""qtquant.json: what a result is and how it was made. The same plan gives the same record, wherever it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from qtquant_app import __version__
from qtquant_app.core.calibration import DEFAULT, Calibration, CalibrationReport
from qtquant_app.core.errors import VerifyError
from qtquant_app.core.folding import Folding
from qtquant_app.core.json_reader import outlined
from qtquant_app.core.plan import OutFile, Plan, file_outline_json, out_tensor_json, tensor_json
from qtquant_app.core.report import TensorReport
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.hub.names import is_pinned
from qtquant_app.engine.output import PARTIAL, RECORD, REPLACED, partial_of

_PACKAGES = ("numpy", "numba", "torch")

_MAX_BYTES = 500_000_000

T = TypeVar("T")


class _Described(list[Any]):
    """JSON of items, made one at a time while it is written: sixty thousand tensors would otherwise take a gigabyte."""

    def __init__(self, items: Sequence[T], describe: Callable[[T], dict[str, Any]]) -> None:
        super().__init__([None] * bool(items))  # json asks whether a list is empty
        self._items = items
        self._describe = describe

    def __iter__(self) -> Iterator[Any]:
        return map(self._describe, self._items)


@dataclass(frozen=True, slots=True)
class Found:
    """What calibration found, as far as a result keeps it."""

    report: CalibrationReport
    foldings: Mapping[str, Folding]

    def to_json(self) -> dict[str, Any]:
        folded = {name: folding.to_json() for name, folding in sorted(self.foldings.items())}
        return {"calibration": self.report.to_json(), **({"foldings": folded} if folded else {})}


def record_bytes(
    plan: Plan,
    tensors: Sequence[TensorReport],
    sha256: Mapping[str, str],
    verified: str,
    calibrated: Found | None = None,
) -> bytearray:
    """The record as JSON in UTF-8. Paths of this machine are left out: the record travels with the model."""
    described = plan.outline_json() | {
        "tensors": _Described(plan.tensors, tensor_json),
        "files": _Described(plan.files, _file_json),
    }
    described["source"] = described["label"] = _public(plan.source)
    if plan.statistics:
        described["statistics"] = Path(plan.statistics).name
    if plan.calibration is not None:
        described["calibration"] = _public_calibration(plan.calibration)
    for key in ("texts", "max_memory", "max_device_memory", "peak_ram_bytes", "peak_device_bytes", "seconds_estimate"):
        described.pop(key)
    for key in ("download_bytes", "source_disk_bytes"):
        described.pop(key, None)
    record: dict[str, Any] = {
        "qtquant": __version__,
        "format": plan.format,
        "source": described["source"],
        "recipe": plan.recipe.to_json(),
        "seed": plan.seed,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "verified": verified,
        "tensors": _Described(tensors, _report_json),
        "sha256": dict(sorted(sha256.items())),
        "plan": described,
        **({"base_model": plan.source} if is_pinned(plan.source) else {}),
        **({} if calibrated is None else calibrated.to_json()),
    }
    written = bytearray()
    for part in json.JSONEncoder(indent=1, ensure_ascii=False).iterencode(record):
        written += part.encode()
    written += b"\n"
    return written


def _public(source: str) -> str:
    """What a source is called elsewhere: a model on the Hub by its id and commit, a path by its last part."""
    return source if is_pinned(source) else Path(source).name


def _public_calibration(calibration: Calibration) -> dict[str, Any]:
    here = calibration.source != DEFAULT and ":" not in calibration.source
    return (replace(calibration, source=Path(calibration.source).name) if here else calibration).to_json()


def _report_json(tensor: TensorReport) -> dict[str, Any]:
    return {**tensor.to_json(), "sums": asdict(tensor.errors)}


def _file_json(file: OutFile) -> dict[str, Any]:
    return file_outline_json(file) | {"tensors": _Described(file.tensors, out_tensor_json)}


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a result, its long lists as `Items`. Raises VerifyError where the folder has none that can be read."""
    if folder.resolve().name.endswith(PARTIAL):
        raise VerifyError(
            f"{folder} is an unfinished run",
            hint="finish it: give the same command again with --resume",
            code="unfinished",
        )
    try:
        record = outlined(read_bounded(folder / RECORD, _MAX_BYTES))
    except FileNotFoundError:
        if (partial_of(folder) / REPLACED / RECORD).is_file():
            raise VerifyError(
                f"{folder} was being replaced when the run was stopped: the old result and the new are in {partial_of(folder)}",
                hint="go on: give the same command again with --resume",
                code="unfinished",
            ) from None
        raise VerifyError(
            f"{folder} has no {RECORD}, so it is no finished result of QtQuant",
            hint="give the folder that `qtquant quantize -o` wrote",
            code="no-record",
        ) from None
    except (OSError, ValueError) as error:
        raise VerifyError(f"{folder / RECORD} cannot be read: {error}", code="record") from None
    if not isinstance(record, dict) or not isinstance(record.get("plan"), dict):
        raise VerifyError(f"{folder / RECORD} holds no plan", code="record")
    return record


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
