"""What probes found, kept on disk for each device, number of threads and pair of drives."""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.json_reader import outlined
from qtquant_app.engine.device import default_threads, resolve
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.probe import existing_parent
from qtquant_app.engine.scan_cache import default_file
from qtquant_app.engine.speeds import Speeds

_KEPT = 64
_MAX_BYTES = 1 << 20


def known_speeds(checkpoint: Checkpoint, output: str | Path | None, device: str) -> Speeds | None:
    """What probes found here, with the drives of both, or with any where no `output` is given; None where there were none."""
    rows = _read()
    if output is None:
        mine = f"{_machine(resolve(device))} "
        key = next((key for key in reversed(rows) if key.startswith(mine)), "")
    else:
        key = _key(checkpoint, output, resolve(device))
    try:
        return Speeds.from_json(rows[key])
    except (KeyError, TypeError, ValueError):
        return None


def keep_speeds(checkpoint: Checkpoint, output: str | Path, device: str, speeds: Speeds) -> Speeds:
    """Adds what a probe found to what is known, and returns both. A folder that cannot be written to is done without."""
    known = known_speeds(checkpoint, output, device)
    joined = speeds if known is None else known.joined(speeds)
    key, rows = _key(checkpoint, output, resolve(device)), _read()
    rows.pop(key, None)
    rows = dict([*rows.items(), (key, joined.to_json())][-_KEPT:])
    file = _file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        written = file.with_name(f"speeds.json.{os.getpid()}")
        written.write_text(json.dumps(rows))
        written.replace(file)
    return joined


def _key(checkpoint: Checkpoint, output: str | Path, device: str) -> str:
    places = (checkpoint.root, existing_parent(Path(output)))
    drives = " ".join(str(place.stat().st_dev) if place.exists() else "" for place in places)
    return f"{_machine(device)} {drives}"


def _machine(device: str) -> str:
    return f"{platform.node()} {device} {default_threads()}"


def _file() -> Path:
    return default_file().with_name("speeds.json")


def _read() -> dict[str, Any]:
    try:
        rows = outlined(read_bounded(_file(), _MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) else {}
