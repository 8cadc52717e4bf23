"""The command line: reads the words, calls the engine, prints the result. stdout is the result, stderr is everything else."""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from qtquant_app.core.errors import QtQuantError

CANCELLED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0 done, 1 the work failed, 2 bad usage or input, 130 cancelled."""
    from qtquant_app.cli.parser import parse

    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        options = parse([word for word in words if word != "--debug"])
        return _run(options, words)
    except QtQuantError as error:
        if debug:
            from qtquant_app.cli.progress import say

            say(traceback.format_exc().rstrip(), stream=sys.stderr)
        return _refuse(error)
    except KeyboardInterrupt:
        print("error: cancelled\nhint: go on with --resume", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:
        # The reader went away; nothing more can be printed, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic in a library's native code is no Exception
        report = _save_report(error, words)
        if debug:
            raise
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        named = f", with the report in {report}" if report else " with what --debug shows"
        return _refuse(QtQuantError(text, hint=f"this is a fault of QtQuant: please tell us{named}"))


def _run(options: Namespace, words: list[str]) -> int:
    """Runs the command that `options` name, with its log and its mark among the sessions."""
    from qtquant_app.cli import commands
    from qtquant_app.core.trail import LOGGER
    from qtquant_app.watch import watching

    with watching("window" if options.run is commands.gui else "command"):
        LOGGER.info("qtquant %s", " ".join(words))
        try:
            status: int = options.run(options)
            sys.stdout.flush()
        except BaseException as error:
            LOGGER.info("ended: %s", error.message if isinstance(error, QtQuantError) else type(error).__name__)
            raise
        LOGGER.info("ended with status %d", status)
    return status


def _save_report(error: BaseException, words: list[str]) -> Path | None:
    """Writes down what there is to know about a failure of the program itself; never fails a second time."""
    try:
        from qtquant_app.core.crash_report import crash_report
        from qtquant_app.core.trail import TRAIL
        from qtquant_app.logs import save_report

        what = f"qtquant {' '.join(words)}"
        return save_report(crash_report(what, error, happened=TRAIL.lines()))
    except Exception:  # the error itself is still told
        return None


def _refuse(error: QtQuantError) -> int:
    from qtquant_app.cli.progress import printable

    print(f"error: {printable(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {printable(error.hint)}", file=sys.stderr)
    return error.exit_status


def console() -> NoReturn:
    """The `qtquant` script."""
    status = main()
    if "PySide6" not in sys.modules:
        # The result is safe and said. Taking the interpreter apart would cost a quarter of a second more, in which a
        # late Ctrl-C could still change the exit status.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
