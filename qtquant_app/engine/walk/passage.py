"""One batch on its way through a model: transformers' own forward, in a thread of its own, that stops where a block is called.

What happens between the blocks, masks, positions, a second tower, is the model's own code; what a block is given and what it
gives back passes through whoever drives the passage. Only one thread runs at a time: control is handed over and back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_CURRENT = threading.local()


class _Abandoned(BaseException):
    """Unwinds the thread of a passage that nobody drives any more."""


@dataclass(frozen=True, slots=True)
class Call:
    """A block is about to be called: its name, and what with."""

    block: str
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]

    def run(self, module: nn.Module) -> Any:
        """What the block gives."""
        return module(*self.arguments, **self.named)


def _gone(**_: Any) -> None:
    """What a passage that is closed goes through."""


class Passage:
    """One forward through `net`. Start it with `go`, answer each `Call` with `answer`, and it ends in an output.

    Both give the next call; None where the model is through, whose output is then `output`. Whatever the model raises is raised
    from them. `close` ends it at any time.
    """

    def __init__(self, net: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self._net = net
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._call: Call | None = None
        self._answer: Any = None
        self._error: BaseException | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self.output: Any = None

    @property
    def call(self) -> Call | None:
        """The call that it waits at; None before it goes and after its end."""
        return self._call

    def go(self) -> Call | None:
        """Runs up to the first block."""
        self._thread = threading.Thread(target=self._run, name="passage", daemon=True)
        self._thread.start()
        return self._wait()

    def answer(self, output: Any) -> Call | None:
        """Gives the block's output back and runs up to the next one."""
        self._answer, self._call = output, None
        self._turn.release()
        return self._wait()

    def take(self) -> Any:
        """The output, which is then let go."""
        output, self.output = self.output, None
        return output

    def close(self) -> None:
        """Ends it where it stands."""
        self._closed = True
        if self._thread is not None and self._thread.is_alive():
            self._turn.release()
            self._thread.join()
        self._call = self._answer = None
        self._net = _gone  # which may know of this passage: nothing is to wait for the collector of cycles

    def _wait(self) -> Call | None:
        self._back.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._call

    def _run(self) -> None:
        import torch

        _CURRENT.passage = self
        try:
            with torch.no_grad():
                self.output = self._net(**self.inputs)
        except _Abandoned:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._back.release()

    def hand_over(self, what: str, *arguments: Any, **named: Any) -> Any:
        """Called in the thread of the passage: waits, as at a block called `what`, and gives what it is answered."""
        return self._reach(Call(what, arguments, named))

    def _reach(self, call: Call) -> Any:
        """Called in the thread of the passage: hands the call over and waits for the answer."""
        self._call = call
        self._back.release()
        self._turn.acquire()
        if self._closed:
            raise _Abandoned
        answer, self._answer = self._answer, None
        return answer


@contextmanager
def unstopped() -> Iterator[None]:
    """Blocks that are called in this thread run as ever."""
    passage, _CURRENT.passage = getattr(_CURRENT, "passage", None), None
    try:
        yield
    finally:
        _CURRENT.passage = passage


class Stops:
    """Makes the blocks of a model stop the passages that reach them, until `remove`. Other callers run them as ever."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        self._blocks: Sequence[nn.Module] = tuple(blocks.values())
        for name, module in blocks.items():
            module.forward = self._stopping(name, module.forward)

    @staticmethod
    def _stopping(name: str, forward: Any) -> Any:
        def stop(*arguments: Any, **named: Any) -> Any:
            passage: Passage | None = getattr(_CURRENT, "passage", None)
            if passage is None:
                return forward(*arguments, **named)
            return passage._reach(Call(name, arguments, named))

        return stop

    def remove(self) -> None:
        """The blocks are as they were."""
        for module in self._blocks:
            module.__dict__.pop("forward", None)
