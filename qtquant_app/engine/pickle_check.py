"""Looks through a state dict's pickle before torch unpickles it: torch runs no code from it, but would take any amount of memory.

`weights_only=True` still makes a bytearray of whatever length is asked for, and a dict's key of tuples that hold tuples, each
twice, takes for ever to hash. Nothing is made here; the machine's stack is followed with the size of each value in its place.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any

from qtquant_app.core.errors import SourceError

_MOST_PARTS = 1_000_000
"""Parts of one value, each counted wherever it is held."""
_REFUSED = frozenset({"builtins bytearray", "__builtin__ bytearray"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GROWS = frozenset({"SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD"})
"""What changes a list or a dict in place: such a thing cannot be hashed, and does not multiply."""
_MARK = -1


def check_pickle(data: bytes, file: str) -> None:
    """Raises SourceError where the pickle is malformed, or makes more of itself than a state dict needs."""
    try:
        for size in _sizes(data):
            if size > _MOST_PARTS:
                raise _refused(file)
    except SourceError:
        raise
    except _BytearrayError:
        raise _refused(file) from None
    except Exception:  # pickletools raises what it comes upon: ValueError, IndexError, UnicodeDecodeError, KeyError
        raise SourceError(
            f"{file} holds a damaged list of its tensors", hint="fetch it again", code="state-dict"
        ) from None


class _BytearrayError(Exception):
    """Memory of any length is asked for."""


def _refused(file: str) -> SourceError:
    return SourceError(
        f"{file} holds Python objects besides tensors, which could take all memory, and was not opened",
        hint="ask its author for safetensors, or convert it where you trust it",
        code="pickle",
    )


def _sizes(data: bytes) -> Iterator[int]:
    """The number of parts of each value that is made on the way."""
    stack: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == "GLOBAL" and argument in _REFUSED:
            raise _BytearrayError
        if name in _PUTS:
            memo[int(argument or 0)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _GETS:
            stack.append(memo[int(argument or 0)])
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            taken = _taken(opcode, stack)
            if name in _GROWS:
                stack.append(1)
            elif name == "MARK":
                stack.append(_MARK)
            elif opcode.stack_after:
                stack.append(1 + sum(taken))
        yield stack[-1] if stack else 0


def _taken(opcode: Any, stack: list[int]) -> list[int]:
    """Takes off the stack what the opcode does."""
    before = opcode.stack_before
    if pickletools.markobject not in before and not (opcode.name == "POP" and stack and stack[-1] == _MARK):
        count = len(before)
        if count > len(stack):
            raise ValueError("the stack is empty")
        taken = stack[len(stack) - count :] if count else []
        del stack[len(stack) - count :]
        return taken
    taken = []
    while (size := stack.pop()) != _MARK:
        taken.append(size)
    for _ in before[: before.index(pickletools.markobject)] if pickletools.markobject in before else ():
        taken.append(stack.pop())
    return taken
