"""qtquant.json: what a result is and how it was made. The same plan gives the same record, wherever it runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qtquant_app import __version__
from qtquant_app.core.errors import VerifyError
from qtquant_app.core.plan import Plan
from qtquant_app.core.report import TensorReport
from qtquant_app.engine.output import RECORD

_PACKAGES = ("numpy", "numba", "torch")


def record_text(plan: Plan, tensors: Iterable[TensorReport], sha256: Mapping[str, str], verified: str) -> str:
    """The record as JSON. Paths of this machine are left out: the record travels with the model."""
    described = plan.to_json()
    described["source"] = described["label"] = Path(plan.source).name
    for key in ("texts", "max_memory", "peak_ram_bytes", "peak_device_bytes", "seconds_estimate"):
        described.pop(key)
    record: dict[str, Any] = {
        "qtquant": __version__,
        "format": plan.format,
        "source": described["source"],
        "recipe": plan.recipe.to_json(),
        "seed": plan.seed,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "verified": verified,
        "tensors": [{**tensor.to_json(), "sums": asdict(tensor.errors)} for tensor in tensors],
        "sha256": dict(sorted(sha256.items())),
        "plan": described,
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a result. Raises VerifyError where the folder has none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except FileNotFoundError:
        raise VerifyError(
            f"{folder} has no {RECORD}, so it is no finished result of QtQuant",
            hint="give the folder that `qtquant quantize -o` wrote",
            code="no-record",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise VerifyError(f"{folder / RECORD} cannot be read: {error}", code="record") from None
    if not isinstance(record, dict) or not isinstance(record.get("plan"), dict):
        raise VerifyError(f"{folder / RECORD} holds no plan", code="record")
    return record


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
