"""Reads a scheme from the few characters that its label is, and a rule from a pattern and such a label."""

from __future__ import annotations

import re
from typing import Any

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_text import shown
from qtquant_app.core.layouts import LAYOUTS, MIXTURE, MIXTURES
from qtquant_app.core.patterns import compiled
from qtquant_app.core.recipe import Rule
from qtquant_app.core.scheme import Scheme

_LABEL = re.compile(
    r"w(?P<bits>\d{1,2})\s+(?:(?P<where>tensor|ch)|g(?P<group>\d{1,9}))\s+(?P<symmetry>sym|asym)(?P<offset>\s+float)?"
    r"(?:\s+(?P<method>(?!a8\b)[a-z][a-z0-9_+-]*))?(?:\s+(?P<activations>a8))?",
    re.IGNORECASE,
)
_WHERE = {"tensor": "tensor", "ch": "channel"}
_FLOAT = re.compile(
    r"(?:fp8\s+(?P<where>tensor|ch|128x128)|(?P<name>nvfp4|mxfp4))"
    r"(?:\s+(?P<method>(?!a8\b)[a-z][a-z0-9_+-]*))?(?:\s+(?P<activations>a8))?",
    re.IGNORECASE,
)
_LAYOUT = re.compile(r"(?P<name>q\d\w*|b?f16)(?:\s+(?P<method>[a-z][a-z0-9_+-]*))?", re.IGNORECASE)


def parse_label(text: str) -> Scheme:
    """The scheme whose label is `text`: `W4 g128 sym`, `W8 ch sym A8`, `FP8 ch A8`, `Q4_K`; capitals and spaces do not matter.

    Raises UsageError where it is no label, or where the scheme contradicts itself.
    """
    named = _float(text.strip()) or _layout(text.strip())
    if named is not None:
        return named
    found = _LABEL.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"{shown(text)} is not a scheme",
            hint='write bits, groups, symmetry and method as in "W4 g128 sym", "W8 ch sym" or "W3 g32 asym mse"',
            code="scheme",
        )
    values: dict[str, Any] = {
        "bits": int(found["bits"]),
        "strategy": _WHERE[found["where"].lower()] if found["where"] else "group",
        "group_size": int(found["group"]) if found["group"] else None,
        "symmetric": found["symmetry"].lower() == "sym",
        "method": (found["method"] or "rtn").lower(),
        "activations": "int8" if found["activations"] else "none",
        "offset": "float" if found["offset"] else "integer",
    }
    return Scheme(**values)


def _float(text: str) -> Scheme | None:
    found = _FLOAT.fullmatch(text)
    if found is None:
        return None
    values: dict[str, Any] = {"type": "float", "bits": 8, "method": (found["method"] or "rtn").lower()}
    if found["name"]:
        values |= {"bits": 4, "group_size": 16 if found["name"].lower() == "nvfp4" else 32}
    else:
        values["strategy"] = {**_WHERE, "128x128": "block"}[found["where"].lower()]
    return Scheme.from_json(values | ({"activations": "fp8"} if found["activations"] else {}))


def _layout(text: str) -> Scheme | None:
    """Types before mixtures of the same name: a rule names one tensor's type."""
    found = _LAYOUT.fullmatch(text)
    if found is None:
        return None
    name = found["name"].upper()
    mixture = MIXTURE + name
    if name not in LAYOUTS and name not in MIXTURES:
        return None
    return Scheme.of_layout(name if name in LAYOUTS else mixture, (found["method"] or "rtn").lower())


def parse_rule(text: str) -> Rule:
    """The rule that `PATTERN=LABEL` or `PATTERN=keep` says; the last equals sign is the one that counts.

    Raises UsageError where there is none, where the pattern is malformed, or the label is no scheme.
    """
    pattern, equals, label = text.rpartition("=")
    pattern, label = pattern.strip(), label.strip()
    if not equals or not pattern:
        raise UsageError(
            f"{shown(text)} is not a rule",
            hint='write PATTERN=SCHEME, such as "*.down_proj=W8 g32 sym", or PATTERN=keep',
            code="rule",
        )
    compiled(pattern)
    return Rule(pattern, "keep" if label.lower() == "keep" else parse_label(label))
