"""The table of formats by runtimes by schemes, from the data that is shipped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from qtquant_app.assets import resource
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import parse_json
from qtquant_app.core.runtime_table import Measured, Row, table
from qtquant_app.engine.foreign_files import read_bounded

_MAX_BYTES = 1 << 20


def data_file() -> Path:
    """`{"cases": {format: [label of a scheme]}, "measured": [what was run]}`; benchmarks/runtimes.py writes it."""
    return resource("runtimes.json")


@cache
def runtime_table() -> tuple[Row, ...]:
    """Every scheme that is tried, with a cell for each runtime."""
    return table(*read_data())


def read_data() -> tuple[dict[str, list[str]], tuple[Measured, ...]]:
    """The schemes of each format, and what was measured of them."""
    document: Any = parse_json(read_bounded(data_file(), _MAX_BYTES))
    read = Fields(document)
    cases = {str(name): [str(label) for label in labels] for name, labels in dict(read.any("cases")).items()}
    return cases, tuple(map(Measured.from_json, read.items("measured")))
