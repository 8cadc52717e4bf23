"""What must not leave this computer in a log or a report: tokens and passwords, the home folder, the user's name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from getpass import getuser
from pathlib import Path
from urllib.parse import quote

HIDDEN = "***"
"""Stands for a secret."""
HOME = "~"
USER = "(user)"

_SECRET_NAME = re.compile(
    r"(?i)(^|_)(token|secret|password|passwd|api_?key|access_?key|private_?key|credentials?|auth)(_|$)"
)
_SHORTEST_SECRET = 4
_NO_SECRETS = frozenset({"true", "false", "none", "null"})
_COMMON_USERS = frozenset({"root", "user", "admin", "administrator", "ubuntu", "runner", "nobody"})
"""Names that tell nothing about anybody, but stand in many a message."""
_SHORTEST_USER = 2

_PATTERNS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)([a-z][a-z0-9+.-]*://)[^/\s@'\"<>]+@", rf"\1{HIDDEN}@"),  # https://name:password@host
        (r"(?<![A-Za-z0-9])(hf|api_org|gh[pousr]|github_pat|sk|glpat)[_-][A-Za-z0-9_-]{8,}", HIDDEN),
        (
            r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|token)\s+)?[^\s\"',;]+",
            rf"\1{HIDDEN}",
        ),
        (r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{4,}", f"Bearer {HIDDEN}"),
        (r"(?i)((?:set-)?cookie[\"']?\s*[:=]\s*).+", rf"\1{HIDDEN}"),
        (
            r"(?i)((?:token|secret|passw(?:or)?d|api[_-]?key|access[_-]?key|signature|credentials?)[\"']?\s*=\s*[\"']?)[^\s\"'&,;)]+",
            rf"\1{HIDDEN}",
        ),
        (
            r"(?i)((?:password|passwd|secret|api[_-]?key|access[_-]?key)[\"']?\s*:\s*[\"']?)[^\s\"'&,;}]+",
            rf"\1{HIDDEN}",
        ),
    )
)


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without secrets, the home folder as `~`, the user's name as `(user)`. Doing it twice changes nothing more.

    Secrets are whatever looks like one (Hub and other tokens, Authorization headers, passwords in URLs and queries), and the
    value of every variable of `environment` (this process's, if not given) whose name says that it is one, wherever it stands.
    """
    variables = os.environ if environment is None else environment
    for secret in _secrets(variables):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    for pattern in _homes():
        text = pattern.sub(HOME, text)
    user = _user()
    return user.sub(USER, text) if user else text


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """The values of variables that hold secrets, the longest first: one may hold another."""
    values = {
        value.strip()
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and value.strip().lower() not in _NO_SECRETS
    }
    found = {form for value in values for form in (value, quote(value, safe="")) if len(value) >= _SHORTEST_SECRET}
    return sorted(found - {HIDDEN}, key=len, reverse=True)


def _homes() -> Iterator[re.Pattern[str]]:
    """Patterns for the home folder, in each form that a path is written in; a folder that only begins alike is another."""
    try:
        home = Path.home()
    except RuntimeError:  # nobody's
        return
    flags = re.IGNORECASE if sys.platform in ("win32", "darwin") else 0
    for folder in dict.fromkeys((str(home), os.path.realpath(home))):
        if len(folder.rstrip("/\\")) < 2:  # the root of the file system is nobody's home
            continue
        for form in dict.fromkeys((folder, folder.replace("\\", "\\\\"), folder.replace("\\", "/"), quote(folder))):
            yield re.compile(rf"(?<![\w~.-]){re.escape(form)}(?![\w-])", flags)


def _user() -> re.Pattern[str] | None:
    try:
        name = getuser()
    except (OSError, KeyError, ImportError):  # no such user is known here
        return None
    if len(name) < _SHORTEST_USER or name.lower() in _COMMON_USERS:
        return None
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE)
