"""What a run does when its own verification finds tensors wrong: it takes back that they are done, so that they are done again."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from qtquant_app.core.errors import QtQuantError, VerifyError
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan
from qtquant_app.engine.commit import Committer
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.room import Room
from qtquant_app.engine.verify import MismatchError


def undo(error: MismatchError, plan: Plan, committer: Committer, room: Room) -> Generator[Event, None, VerifyError]:
    """Says in the journal that what `error` names is not done. Returns what to raise: `error`, with a hint that holds now.

    A kill before that leaves the tensors done, and the next run's verification finds them again. Where the journal cannot be
    written to, the error and its hint stay as they are.
    """
    wrong = set(error.where)
    tensors = []
    for source, places in by_source(plan.files).items():
        files = sorted({file.name for file, _ in places.values()})
        if source in wrong or not wrong.isdisjoint(files):
            tensors.append((source, files))
    try:
        yield from room.needed(partial(committer.undone, tensors))
    except QtQuantError:
        return error
    again = "that tensor" if len(tensors) == 1 else f"those {len(tensors)} tensors"
    return VerifyError(error.message, hint=f"the drive may be failing: --resume does {again} again", code=error.code)
