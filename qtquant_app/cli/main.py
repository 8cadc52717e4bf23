"""The command line: reads the words, calls the engine, prints the result. stdout is the result, stderr is everything else."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
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
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except QtQuantError as error:
        if debug:
            traceback.print_exc()
        return _refuse(error)
    except KeyboardInterrupt:
        print("error: cancelled\nhint: go on with --resume", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:
        # The reader went away; nothing more can be printed, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        return _refuse(QtQuantError(text, hint="this is a fault of QtQuant: run again with --debug and report it"))


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
