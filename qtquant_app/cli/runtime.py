"""`qtquant verify OUT --runtime NAME`: a result in a runtime, beside our own reading of it."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.cli.progress import drive, printable, say
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import bytes_text, duration_text
from qtquant_app.core.runtime_readers import READERS

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from qtquant_app.core.runtime_report import RuntimeReport
    from qtquant_app.core.runtime_table import Row
    from qtquant_app.engine.runtime_check import FoundRuntime

LIST = "list"


def add_options(verb: ArgumentParser) -> None:
    """Which runtime, and whose Python has it."""
    names = ", ".join(reader.name for reader in READERS)
    verb.add_argument(
        "--runtime",
        metavar="NAME",
        help=f"load and run it in {names}; `{LIST}` says which are installed (needs --base)",
    )
    verb.add_argument("--python", metavar="PATH", help="the Python of an environment that has the runtime")
    verb.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="how long the runtime may take; 900 if not given"
    )


def show_table(known: Sequence[Row]) -> None:
    """Which runtime loads what, and how that is known."""
    from qtquant_app.core.runtime_table import COLUMNS, merged, notes

    rows = merged(known)
    below = notes(rows)
    cells = [[f"{c.words} ({below.index(c.text) + 1})" if c.text else c.words for c in row.cells] for row in rows]
    titles = ("format", "schemes", *(column.title for column in COLUMNS))
    say()
    show.table([titles, *((row.format, row.label, *own) for row, own in zip(rows, cells, strict=True))])
    say(
        "run: loaded here, its logits held against ours; by source: as that version is written; no: it does not load it"
    )
    for at, text in enumerate(below, 1):
        say(printable(f"({at}) {text}"))


def check(options: Namespace) -> int:
    """Runs the check and shows what comes of it; or lists what there is to run."""
    from qtquant_app.engine.runtime_check import SECONDS, check_in_runtime

    if options.runtime == LIST:
        return _list(options)
    if options.base is None:
        raise UsageError(
            "a runtime is held against the model that the files decode to, and that takes the original's config and names",
            hint="give the original with --base",
            code="usage",
        )
    seconds = SECONDS if options.timeout is None else options.timeout
    if not seconds > 0:
        raise UsageError(f"{seconds:g} s are no time to answer in", hint="give --timeout 60 or more", code="usage")
    report: RuntimeReport = drive(
        check_in_runtime(options.folder, options.base, options.runtime, options.python, seconds=seconds)
    )
    show.document(report.to_json()) if options.json else _show(report)
    return 0 if report.agrees else 1


def _list(options: Namespace) -> int:
    from pathlib import Path

    from qtquant_app.engine.runtime_check import found_runtimes
    from qtquant_app.engine.verify import result_plan

    found = found_runtimes(result_plan(Path(options.folder)).format)
    if options.json:
        show.document({"runtimes": [one.to_json() for one in found]})
    else:
        show.table([("runtime", "here", "to install it"), *(_row(one) for one in found)])
    return 0


def _row(one: FoundRuntime) -> tuple[str, str, str]:
    if one.available:
        return one.reader.name, ", ".join(f"{name} {version}" for name, version in one.versions.items()), ""
    return one.reader.name, f"no: {', '.join(one.missing)} missing", one.reader.install


def _show(report: RuntimeReport) -> None:
    say(printable(f"{'ok' if report.agrees else 'NOT ok'}: {report.verdict}") + "\n")
    took = f"{duration_text(report.seconds_to_load)} to load, {duration_text(report.seconds)} to run"
    show.table([*report.rows(), ("time", took), ("memory", bytes_text(report.peak_ram_bytes))])
    if report.difference is not None:
        say(printable(f"its own noise, {100 * report.tolerance:g} %: {report.tolerance_reason}"))
