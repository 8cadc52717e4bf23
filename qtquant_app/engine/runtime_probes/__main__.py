"""Reads a request, one line of JSON, on stdin; loads the model it names and runs it; answers on stdout, one JSON object a line.

In order: {"versions"} or {"missing"}; {"loaded"}; {"done"}. {"error"} ends it wherever it is. The logits go to a file, as raw
float32 [tokens, vocabulary]. It ends at once where its parent does.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import threading
import time
from importlib import metadata
from typing import Any, TextIO

_LONGEST = 2000
"""Characters of an error's last line."""


def main() -> None:
    """Answers go to what was stdout; what the runtime prints there goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _answer(request, answers)
    except BaseException as error:
        import traceback

        traceback.print_exc()
        _say(answers, error=_last_line(error))
    sys.stderr.flush()
    os._exit(0)  # some runtimes hang or crash while they are taken down


def _answer(request: dict[str, Any], answers: TextIO) -> None:
    versions, missing = _versions(request["packages"])
    _say(answers, versions=versions, missing=missing, python=platform.python_version())
    if missing:
        return
    probe = importlib.import_module("with_" + request["probe"])
    began = time.monotonic()
    model, option = probe.load(request)
    _say(answers, loaded=True, option=option, load_seconds=time.monotonic() - began)
    began = time.monotonic()
    logits, found = probe.run(model, request)
    logits.astype("<f4").tofile(request["logits"])
    _say(answers, done=True, seconds=time.monotonic() - began, **found)


def _versions(packages: list[str]) -> tuple[dict[str, str], list[str]]:
    """The versions of packages, `one|other` being either, and those that are missing."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for names in packages:
        there = [(name, version) for name in names.split("|") if (version := _version(name))]
        found.update(there[:1])
        missing += [] if there else [names.partition("|")[0]]
    return found, missing


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _last_line(error: BaseException) -> str:
    """The last that tells something: pydantic, which vLLM checks its options by, ends with where to read more."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("For further information")]
    return f"{type(error).__name__}: {telling[-1] if telling else ''}"[:_LONGEST]


def _say(answers: TextIO, **words: object) -> None:
    answers.write(json.dumps(words) + "\n")
    answers.flush()


def _end_with_parent() -> None:
    """The parent keeps our stdin open as long as it lives. Read without Python's buffers, which the main thread uses."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
