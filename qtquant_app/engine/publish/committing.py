"""The one commit that makes an upload visible: weights, config, index, record and card at once.

Until it is made the repository shows nothing of them, and nothing that looks whole is ever half there. It is made once: where
its answer is lost, the branch tells whether it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtquant_app.core.errors import PublishError
from qtquant_app.core.events import Event
from qtquant_app.core.publication import Destination, PublishedFile
from qtquant_app.engine.publish.refusals import other_content, passing, status_of
from qtquant_app.engine.publish.target import StoredFile, files_at
from qtquant_app.engine.publish.waiting import TRIES, pause_before, pauses, retried, waited

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

_NOT_DONE = frozenset({429, 503})
"""Answers that say that nothing was done."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What is committed, on top of `parent`."""

    repo: str
    branch: str
    pull_request: bool
    parent: str
    message: str
    operations: Sequence[CommitOperationAdd | CommitOperationDelete]
    files: Sequence[PublishedFile]
    removed: Sequence[str]


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit that stands, and the address of its pull request where it was proposed."""

    commit: str
    pull_request: str


def commit_of(
    destination: Destination,
    repo: str,
    parent: str,
    message: str,
    operations: Sequence[CommitOperationAdd],
    files: Sequence[PublishedFile],
    removed: Sequence[str],
) -> Commit:
    """The commit of what was sent; `removed` goes with it."""
    from huggingface_hub import CommitOperationDelete

    gone = [CommitOperationDelete(path_in_repo=name) for name in removed]
    everything = [*operations, *gone]
    return Commit(repo, destination.branch, destination.pull_request, parent, message, everything, files, removed)


def commit(api: HfApi, wanted: Commit) -> Generator[Event, None, Committed]:
    """Makes the commit. Raises PublishError where nobody can tell whether it was made, what the client raises else."""
    doing = f"committing to {wanted.repo}"
    for attempt in range(TRIES):
        try:
            made = yield from waited(lambda: _made(api, wanted), doing)
            return Committed(str(made.oid), str(made.pr_url or ""))
        except Exception as error:
            failed = error
        if attempt == TRIES - 1 or not passing(failed):
            break
        if status_of(failed) not in _NOT_DONE:
            found = yield from _found(api, wanted)
            if found is not None:
                return found
        yield from pauses(pause_before(attempt, failed), doing)
    raise failed


def _made(api: HfApi, wanted: Commit) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client, about words in the card's head; they would go to the terminal
        return api.create_commit(
            wanted.repo,
            list(wanted.operations),
            commit_message=wanted.message,
            revision=wanted.branch or None,
            create_pr=wanted.pull_request or None,
            parent_commit=wanted.parent or None,
        )


def _found(api: HfApi, wanted: Commit) -> Generator[Event, None, Committed | None]:
    """The commit, where it was made although its answer was lost."""
    if wanted.pull_request:
        text = f"the connection was lost while the pull request to {wanted.repo} was opened: it may be there, or not"
        hint = f"look at the discussions of {wanted.repo}; if it is not there, give the same command again"
        raise PublishError(text, hint=hint, code="hub-unsure")
    info = yield from retried(
        lambda: api.model_info(wanted.repo, revision=wanted.branch or None), "looking for the commit"
    )
    head = str(info.sha or "")
    if head == wanted.parent:
        return None
    there = yield from files_at(api, wanted.repo, head)
    ours = not differing(wanted.files, there) and not any(name in there for name in wanted.removed)
    return Committed(head, "") if ours else None


def check_arrived(api: HfApi, repo: str, commit: str, files: Sequence[PublishedFile]) -> Generator[Event, None, None]:
    """Raises PublishError where a file of the commit is not what it is here."""
    wrong = differing(files, (yield from files_at(api, repo, commit)))
    if wrong:
        raise other_content(wrong[0])


def differing(files: Sequence[PublishedFile], there: Mapping[str, StoredFile]) -> list[str]:
    """Files that are missing there, or whose content is another."""
    return [file.name for file in files if not _alike(file, there.get(file.name))]


def _alike(file: PublishedFile, there: StoredFile | None) -> bool:
    """Held together by the sha256 that the Hub says, or by git's name where it keeps the file in git."""
    if there is None or there.size != file.bytes:
        return False
    return there.sha256 == file.sha256 if there.sha256 else there.blob == file.blob or not file.blob
