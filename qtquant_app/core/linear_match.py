"""Matches a regular expression in time linear in the name, for the patterns on which Python's own matcher may take for ever.

The expression, parsed by Python's parser, becomes a nondeterministic automaton (Thompson's construction), and that a
deterministic one, built as names are read, as RE2 does. Only whether an expression matches is asked, not where, so greed does
not matter. Lookarounds, backreferences and word boundaries have no such automaton.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any

_MOST_NODES = 2_000
_MOST_STATES = 4_000
_MOST_WORK = 5_000_000
"""Nodes visited while new states are made, in all: beyond it, names and expression were made to outdo the memory of states."""
_LOOPS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_CHARACTERS = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN)

Node = int
States = frozenset[Node]


class NotRegularError(ValueError):
    """The expression has no automaton, or one beyond all measure."""


def ambiguity(expression: str) -> float:
    """The power of a name's length that bounds the steps of Python's matcher: 0, 1, 2 ... or infinity where it may double with
    every character. An estimate from above: each open repeat counts, and one within another may double."""
    return _power(_parser.parse(expression))


def _power(items: Iterable[tuple[Any, Any]]) -> float:
    total = 0.0
    for kind, value in items:
        if kind in _LOOPS or kind is _constants.POSSESSIVE_REPEAT:
            least, most, body = value
            within = _power(body)
            wide = most > 1 and least != most
            splits = within > 0 or _branches(body) or body.getwidth()[0] == 0
            total += float("inf") if most > 1 and splits else within + wide
        elif kind is _constants.BRANCH:
            total += max(map(_power, value[1]), default=0.0)
        else:
            total += sum(_power(part) for part in _parts(kind, value))
    return total


def _branches(items: Iterable[tuple[Any, Any]]) -> bool:
    """Whether there is a choice of ways within."""
    for kind, value in items:
        if kind is _constants.BRANCH or (kind in _LOOPS and value[0] != value[1]):
            return True
        if any(_branches(part) for part in _parts(kind, value)):
            return True
    return False


def _parts(kind: Any, value: Any) -> list[Any]:
    if kind is _constants.SUBPATTERN:
        return [value[3]]
    if kind is _constants.ATOMIC_GROUP:
        return [value]
    if kind in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [value[1]]
    if kind is _constants.GROUPREF_EXISTS:
        return [part for part in value[1:] if part is not None]
    if kind in _LOOPS or kind is _constants.POSSESSIVE_REPEAT:
        return [value[2]]
    return []


class LinearMatcher:
    """Tells whether an expression matches at the start of a name, as `re.match` does, or `anywhere` in it, as `re.search` does.

    Raises NotRegularError where it cannot, at once or when a name turns out to be too much.
    """

    def __init__(self, expression: str, *, anywhere: bool = False) -> None:
        parsed = _parser.parse(expression)
        self._state = parsed.state
        self._flags = parsed.state.flags
        self._work = 0
        self._tests: list[Callable[[str], bool] | None] = []
        self._next: list[tuple[Node, ...]] = []
        self._asserts: dict[Node, str] = {}
        self._accept = self._node(None)
        self._first = self._sequence(parsed, self._accept)
        if anywhere:
            onwards = self._node(_any)
            self._next[onwards] = (self._node(None, self._first, onwards),)
            self._first = self._next[onwards][0]
        self._known: dict[tuple[States, str], States] = {}

    def match(self, name: str) -> bool:
        """Whether the expression matches at the start of `name`."""
        states = self._closed(frozenset((self._first,)), True, name)
        end = len(name) - 1
        for at, character in enumerate(name):
            if self._accept in states:
                return True
            if not states:
                return False
            last = at >= end - 1 and (at == end or name[end] == "\n")
            states = self._step(states, character, name[at + 1 :] if last else None)
        return self._accept in states

    def _step(self, states: States, character: str, rest: str | None) -> States:
        if rest is None:
            found = self._known.get((states, character))
            if found is not None:
                return found
        moved = frozenset(
            self._next[node][0] for node in states if (test := self._tests[node]) is not None and test(character)
        )
        reached = self._closed(moved, False, "more" if rest is None else rest)
        if rest is None:
            if len(self._known) >= _MOST_STATES:
                self._known.clear()
            self._known[states, character] = reached
        return reached

    def _closed(self, states: States, at_start: bool, rest: str) -> States:
        """All nodes that can be reached from `states` without reading, with `rest` of the name to come."""
        self._work += len(states) + 1
        seen, left = set(states), list(states)
        while left:
            node = left.pop()
            if self._tests[node] is not None or not self._holds(node, at_start, rest):
                continue
            fresh = [other for other in self._next[node] if other not in seen]
            seen.update(fresh)
            left += fresh
        self._work += len(seen)
        if self._work > _MOST_WORK:
            raise NotRegularError
        return frozenset(seen)

    def _holds(self, node: Node, at_start: bool, rest: str) -> bool:
        match self._asserts.get(node):
            case "start":
                return at_start
            case "end":
                return rest in ("", "\n")
            case "very end":
                return rest == ""
            case _:
                return True

    def _node(self, test: Callable[[str], bool] | None, *following: Node) -> Node:
        if len(self._next) >= _MOST_NODES:
            raise NotRegularError
        self._tests.append(test)
        self._next.append(following)
        return len(self._next) - 1

    def _sequence(self, items: Any, then: Node) -> Node:
        for kind, value in reversed(list(items)):
            then = self._item(kind, value, then)
        return then

    def _item(self, kind: Any, value: Any, then: Node) -> Node:
        if kind in _CHARACTERS:
            return self._node(self._test(kind, value), then)
        if kind is _constants.BRANCH:
            return self._node(None, *(self._sequence(branch, then) for branch in value[1]))
        if kind is _constants.SUBPATTERN:
            _, added, removed, body = value
            before, self._flags = self._flags, (self._flags | added) & ~removed
            first = self._sequence(body, then)
            self._flags = before
            return first
        if kind in _LOOPS:
            least, most, body = value
            return self._loop(least, most, body, then)
        if kind is _constants.AT and value in _PLACES and not self._flags & re.MULTILINE:
            node = self._node(None, then)
            self._asserts[node] = _PLACES[value]
            return node
        raise NotRegularError

    def _loop(self, least: int, most: int, body: Any, then: Node) -> Node:
        self._work += least
        if self._work > _MOST_NODES:
            raise NotRegularError
        if most is _constants.MAXREPEAT or most >= _constants.MAXREPEAT:
            again = self._node(None, then)
            self._next[again] = (self._sequence(body, again), then)
            then, times = again, 0
        else:
            times = most - least
        end = then
        for _ in range(times):
            then = self._node(None, self._sequence(body, then), end)
        for _ in range(least):
            then = self._sequence(body, then)
        return then

    def _test(self, kind: Any, value: Any) -> Callable[[str], bool]:
        """Python's own word on whether one character fits, remembered for each."""
        flags = self._flags
        if kind is _constants.LITERAL and not flags & re.IGNORECASE:
            return chr(value).__eq__
        part = _parser.SubPattern(self._state, [(kind, value)])
        fits = _compiler.compile(part, flags).fullmatch
        return lru_cache(_MOST_STATES)(lambda character: fits(character) is not None)


def _any(_: str) -> bool:
    return True


_PLACES = {
    _constants.AT_BEGINNING: "start",
    _constants.AT_BEGINNING_STRING: "start",
    _constants.AT_END: "end",
    _constants.AT_END_STRING: "very end",
}
