"""Writes the pattern for a choice of modules: as somebody would write it by hand, and matching exactly that choice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby

from qtquant_app.core.patterns import compiled, literal

Parts = tuple[str, ...]


def pattern_for(chosen: Iterable[str], modules: Iterable[str]) -> str:
    """The simplest pattern that matches every module of `chosen` and no other one of `modules`.

    That is the first that fits of: the name, `*.down_proj`, `*.mlp.*`, `model.layers.3.*`, `model.layers.[0-3].mlp.*`, and else a
    regular expression over the numbers of the blocks. `chosen` must be some of `modules`, and not empty: ValueError.
    """
    wanted = tuple(dict.fromkeys(chosen))
    if not wanted:
        raise ValueError("a pattern needs a module to match")
    return _written(wanted, tuple(dict.fromkeys(modules)))


@lru_cache(maxsize=32)
def _written(names: tuple[str, ...], modules: tuple[str, ...]) -> str:
    """The same choice is asked for again and again while a recipe is looked at from all sides."""
    wanted = frozenset(names)
    others = [module for module in modules if module not in wanted]
    if len(names) == 1 and names[0]:
        return literal(names[0])
    for pattern in _globs([tuple(name.split(".")) for name in names]):
        if _exact(pattern, names, others):
            return pattern
    last = _last_parts(names)
    if last and _exact(last, names, others):
        return last
    whole = _tree([tuple(name.split(".")) for name in names], [tuple(name.split(".")) for name in (*names, *others)])
    pattern = f"re:{whole}" if whole.endswith(".*") else f"re:{whole}$"
    return pattern if _exact(pattern, names, others) else f"re:(?:{'|'.join(map(re.escape, names))})\\Z"


def _exact(pattern: str, wanted: Sequence[str], others: Sequence[str]) -> bool:
    found = compiled(pattern).match  # a glob is compiled with its end, so that both are told alike
    return all(found(name) for name in wanted) and not any(found(name) for name in others)


def _globs(names: Sequence[Parts]) -> Iterator[str]:
    """Globs that match all of `names`, the ones that say least first; each may match more."""
    shortest = min(map(len, names))
    head, tail = _common(names), _common([name[::-1] for name in names])[::-1]
    yield "*"
    for count in range(1, min(len(tail), shortest - 1) + 1):
        yield f"*.{_joined(tail[-count:])}"
    if head:
        yield f"{_joined(head)}.*"
    shared = [*_shared(names, 1), *_shared(names, 2)]
    yield from (f"*.{part}.*" for part in shared)
    if head:
        yield from (f"{_joined(head)}.*.{_joined(part)}" for part in (tail[-1:], tail[-2:]) if part)
        yield from (f"{_joined(head)}.*.{part}.*" for part in shared)
    yield from _numbered(names, head)


def _numbered(names: Sequence[Parts], head: Parts) -> Iterator[str]:
    """Globs with a class of digits where the names part: `model.layers.[0-3].mlp.down_proj`."""
    at = len(head)
    digits = {name[at] for name in names if len(name) > at}
    if any(len(name) <= at for name in names) or not all(re.fullmatch("[0-9]", digit) for digit in digits):
        return
    start = f"{_joined(head)}." if head else ""
    start += _class(sorted(digits))
    tails = {name[at + 1 :] for name in names}
    if len(tails) == 1:
        tail = next(iter(tails))
        yield f"{start}.{_joined(tail)}" if tail else start
        return
    yield f"{start}.*"
    inner = _common(list(tails))
    if inner:
        yield f"{start}.{_joined(inner)}.*"
    for count in range(1, len(_common([tail[::-1] for tail in tails])) + 1):
        yield f"{start}.*.{_joined(next(iter(tails))[-count:])}"


def _last_parts(names: Sequence[str]) -> str:
    """One regular expression over how the names end: `re:.*\\.(gate_proj|up_proj)$`; empty where one has but one part."""
    ends = [name.rpartition(".") for name in names]
    words = dict.fromkeys(end for _, dot, end in ends if dot)
    if not all(dot for _, dot, _ in ends) or not 2 <= len(words) <= 6 or any(word.isdecimal() for word in words):
        return ""
    return f"re:.*\\.({'|'.join(map(re.escape, words))})$"


def _tree(names: Sequence[Parts], among: Sequence[Parts]) -> str:
    """A regular expression for `names`, all of which are in `among`, part by part: parts that go on alike are written together."""
    if len(names) == len(among) and len(names) > 1 and () not in names:
        return ".*"
    alike: dict[str, list[str]] = {}
    here, all_here = _by_first(names), _by_first(among)
    for first, rest in here.items():
        alike.setdefault(_rest(rest, all_here[first]), []).append(first)
    written = []
    for ending, firsts in alike.items():
        numbers = [part for part in firsts if _is_number(part)]
        words = [re.escape(part) for part in firsts if not _is_number(part)]
        known = {part for part in all_here if _is_number(part)}
        if numbers:
            words.insert(0, r"\d+" if len(numbers) > 1 and known == set(numbers) else _numbers(numbers))
        written.append(_either(words) + ending)
    return _either(written)


def _rest(rest: Sequence[Parts], among: Sequence[Parts]) -> str:
    """What follows a first part: nothing, a dot and more, or either."""
    longer = [parts for parts in rest if parts]
    if not longer:
        return ""
    found = rf"\.{_tree(longer, [parts for parts in among if parts])}"
    return found if len(longer) == len(rest) else f"(?:{found})?"


def _by_first(names: Iterable[Parts]) -> dict[str, list[Parts]]:
    found: dict[str, list[Parts]] = {}
    for name in names:
        found.setdefault(name[0], []).append(name[1:])
    return found


def _numbers(numbers: Iterable[str]) -> str:
    """A regular expression for numbers as they are written: `[3-9]|1[01]`, in brackets where it has more than one part."""
    written = []
    for _, group in groupby(sorted(numbers, key=lambda number: (len(number), number)), key=len):
        found = list(group)
        if len(found[0]) == 1:
            written.append(_class(found))
            continue
        ends: dict[str, list[str]] = {}
        for number in found:
            ends.setdefault(number[:-1], []).append(number[-1])
        starts: dict[str, list[str]] = {}
        for start, digits in ends.items():
            starts.setdefault(_class(digits), []).append(start)
        written += [_numbers(tens) + digits for digits, tens in starts.items()]
    return _either(written)


def _class(digits: Sequence[str]) -> str:
    """Sorted digits as a class: `[0-3]`, `[124]`; one alone as it is."""
    if len(digits) == 1:
        return digits[0]
    stretches: list[list[str]] = []
    for digit in digits:
        if stretches and int(digit) == int(stretches[-1][-1]) + 1:
            stretches[-1].append(digit)
        else:
            stretches.append([digit])
    return f"[{''.join(f'{s[0]}-{s[-1]}' if len(s) > 2 else ''.join(s) for s in stretches)}]"


def _either(written: Sequence[str]) -> str:
    return written[0] if len(written) == 1 else f"({'|'.join(written)})"


def _common(names: Sequence[Parts]) -> Parts:
    """The parts with which all of `names` start."""
    low, high = min(names), max(names)
    count = next((at for at, part in enumerate(low) if at >= len(high) or high[at] != part), len(low))
    return low[:count]


def _shared(names: Sequence[Parts], count: int) -> Iterator[str]:
    """So many parts in a row, a word first, that all of `names` have between their first and their last."""
    runs = [[name[at : at + count] for at in range(1, len(name) - count)] for name in names]
    for run in dict.fromkeys(runs[0]):
        if not _is_number(run[0]) and all(run in other for other in runs):
            yield _joined(run)


def _joined(parts: Parts) -> str:
    return literal(".".join(parts))


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdecimal()
