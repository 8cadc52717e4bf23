"""What somebody may have meant by a pattern that matches nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from qtquant_app.core.patterns import literal

ALIKE = 0.55
"""difflib's ratio from which two patterns are near each other."""
BESIDE = 0.15
"""What is so much farther than the nearest is not offered beside it."""
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def nearest(pattern: str, modules: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """At most `count` patterns near `pattern`, best first, each of which matches some of `modules`: names, or globs made from them.

    Names that differ in their numbers alone are compared once, and stand for each other with the number nearest to that asked for:
    the time goes with the kinds of modules, not with their number.
    """
    wanted = _plain(pattern)
    shapes: dict[str, list[str]] = {}
    for module in modules:
        if module:
            shapes.setdefault(_shape(module), []).append(module)
    found: dict[str, float] = {}
    for shape, names in shapes.items():
        name = min(names, key=lambda name: _distance(wanted, name))
        found[literal(name)] = _ratio(_shape(wanted), shape)
        if "*" in wanted or "." not in wanted:
            found.update((glob, _ratio(wanted, glob)) for glob in _globs(name) if glob not in found)
    least = max(ALIKE, max(found.values(), default=0.0) - BESIDE)
    near = [offer for offer, ratio in found.items() if ratio >= least]
    return tuple(sorted(near, key=lambda offer: (-found[offer], len(offer)))[:count])


def _plain(pattern: str) -> str:
    """A regular expression as the glob it nearly is."""
    if not pattern.startswith("re:"):
        return pattern
    text = re.sub(r"\.[*+]\??", "*", pattern[3:].removeprefix("^").removesuffix("$"))
    return re.sub(r"\\d[*+]?|\[[^]]*\][*+]?", "0", text.replace("\\.", ".")).replace("\\", "")


def _shape(name: str) -> str:
    return _NUMBER.sub("0", name)


def _globs(name: str) -> Iterator[str]:
    """What a module shares with others: `*.down_proj`, `*.mlp.down_proj`, `*.mlp.*`, `model.*`, `model.layers.3.*`."""
    parts = name.split(".")
    for at, part in enumerate(parts[:-1]):
        if part.isdecimal():
            yield f"{literal('.'.join(parts[: at + 1]))}.*"
        else:
            yield f"*.{literal(part)}.*" if at else f"{literal(part)}.*"
    for count in (1, 2):
        if len(parts) > count and not any(part.isdecimal() for part in parts[-count:]):
            yield f"*.{literal('.'.join(parts[-count:]))}"


def _ratio(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, other, one, autojunk=False)
    if matcher.real_quick_ratio() < ALIKE or matcher.quick_ratio() < ALIKE:
        return 0.0
    return matcher.ratio()


def _distance(wanted: str, name: str) -> tuple[int, int]:
    """How far the numbers of `name` are from those of `wanted`, in order."""
    asked, there = (list(map(int, re.findall(r"\d{1,9}", text))) for text in (wanted, name))
    return sum(abs(a - b) for a, b in zip(asked, there, strict=False)), sum(there[len(asked) :])
