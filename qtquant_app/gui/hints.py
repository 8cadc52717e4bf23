"""What to do about an error, in the window's words: the engine's hints speak of the command line's options."""

from __future__ import annotations

import re

from qtquant_app.core.errors import QtQuantError

RESUME = "Go on with the unfinished run"
REPLACE = "Replace the folder"

_SPOKEN = (
    (re.compile(r" \(`hf auth login`\)|, or with `hf auth login`"), ""),
    (re.compile(r"(?:log|sign) in( again)? with `hf auth login[^`]*`"), r"sign in\1 under Hub on the Source page"),
    (re.compile(r"give the same command again"), "press Upload again"),
)
"""Commands in hints, and what the window has for them."""

_HINTS = {
    "exists": f"choose another output folder, or tick \u201c{REPLACE}\u201d",
    "not-ours": "choose another output folder: only folders that QtQuant wrote are ever replaced",
    "unfinished": f"tick \u201c{RESUME}\u201d to go on with it; without it the run starts again",
    "other-plan": f"choose what that run was started with, or untick \u201c{RESUME}\u201d to start again",
    "journal": f"untick \u201c{RESUME}\u201d to start again",
    "disk": "free some space, or choose an output folder on another drive",
    "disk-full": "free some space on the drive, then press Start to go on",
    "write": "check the drive, then press Start to go on",
    "no-device": "choose another device on the Run page",
    "nothing": "the table says why each tensor is kept; check the ignore patterns",
    "recipe": "Save recipe writes one to start from",
    "no-record": "choose the folder that a run wrote",
    "quantized-base": "name the float checkpoint that it was made from",
    "runtime-missing": "install it, or name the Python of an environment that has it",
    "python": "name the interpreter of an environment, such as venv/bin/python",
    "other-base": "open the checkpoint that the result was made from",
}


def window_hint(error: QtQuantError) -> str:
    """The hint of `error` for someone in front of the window."""
    if error.code in _HINTS:
        return _HINTS[error.code]
    hint = re.sub(r"with --ignore (\S+)", r"with the ignore pattern \1", error.hint)
    for command, words in _SPOKEN:
        hint = command.sub(words, hint)
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", " "), hint)
