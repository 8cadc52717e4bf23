"""Finds the files under resources/, in a checkout as in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_RESOURCES = Path(__file__).parent / "resources"


def resource(*parts: str) -> Path:
    """The path of a file or folder shipped with the program, such as resource("sample")."""
    return _RESOURCES.joinpath(*parts)
