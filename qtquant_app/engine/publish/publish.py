"""Publishes a result: looks, proves, prepares, sends, and commits once."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from qtquant_app.core.errors import PublishError, VerifyError
from qtquant_app.core.events import Event, RunStarted, StageChanged, Warned
from qtquant_app.core.hub import HubAccount
from qtquant_app.core.publication import Destination, Prepared, Published, PublishedFile, PublishOptions
from qtquant_app.core.trail import LOGGER
from qtquant_app.engine.publish.account import full_name, owns, who
from qtquant_app.engine.publish.base_model import README, check_head
from qtquant_app.engine.publish.committing import check_arrived, commit, commit_of
from qtquant_app.engine.publish.prepare import files_of, prepare
from qtquant_app.engine.publish.refusals import Place, bad_card, translated
from qtquant_app.engine.publish.sending import Item, Sender, SendError, Sending
from qtquant_app.engine.publish.state import State
from qtquant_app.engine.publish.target import Target, check, look, stale
from qtquant_app.engine.publish.waiting import retried
from qtquant_app.engine.record import read_record
from qtquant_app.engine.verify import verify

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

_PROOFS = frozenset({"full", "quick"})


def publish(
    output: str | Path, destination: Destination, options: PublishOptions | None = None
) -> Generator[Event, None, Published]:
    """Puts the result in `output` on the Hub, where it is proven.

    Weights go first, where nobody sees them; one commit then shows everything. Closing the generator stops at once, not calling
    it pauses; what has arrived is not sent again. Raises VerifyError where the result is not as it was verified, PublishError
    where the Hub refuses or cannot be reached, SourceError where the base cannot be read.
    """
    from huggingface_hub import HfApi

    options = options or PublishOptions()
    work = _Publication(Path(output), destination, options, HfApi())
    failed: Exception
    try:
        return (yield from work.run())
    except (PublishError, VerifyError):
        raise
    except Exception as error:
        failed = error
    cause = failed.__cause__ if isinstance(failed, SendError) else failed
    told = translated(cause, work.place(failed)) if isinstance(cause, Exception) else None
    if told is None:
        raise failed
    raise told  # outside of the handler: what the client raised holds the request, and that the token


class _Publication:
    """One publication, and what is known of it so far."""

    def __init__(self, root: Path, destination: Destination, options: PublishOptions, api: HfApi) -> None:
        self._root = root
        self._to = destination
        self._options = options
        self._api = api
        self._account: HubAccount | None = None
        self._card = ""
        self._began = monotonic()

    @property
    def _repo(self) -> str:
        return full_name(self._account, self._to.repo) if self._account else self._to.repo

    def place(self, error: Exception) -> Place:
        """What an error is about."""
        mine = self._account is None or owns(self._account, self._repo)
        return Place(self._repo, mine, str(error) if isinstance(error, SendError) else "")

    def run(self) -> Generator[Event, None, Published]:
        record = read_record(self._root)
        files = files_of(self._root, record)
        yield StageChanged("upload")
        self._account = yield from who(self._api)
        target = yield from look(self._api, self._repo, self._to.branch)
        check(target, self._to, files, overwrite=self._options.overwrite)
        yield from self._prove(str(record.get("verified", "none")))
        prepared = yield from prepare(
            self._root, self._options.base, base_model=self._options.base_model, repo=self._repo
        )
        for text in prepared.warnings:
            yield Warned("card", text)
        self._card = prepared.text if self._options.card is None else self._options.card
        _check_head(self._card)
        yield StageChanged("upload")
        target = yield from self._made(target)
        return (yield from self._sent(target, prepared))

    def _prove(self, recorded: str) -> Generator[Event, None, None]:
        """Raises VerifyError where the files are not what was verified, or nothing ever was."""
        full = self._options.verify == "full"
        if full and self._options.base is None:
            text = "a full verification compares every weight with the original, and none was given"
            raise VerifyError(text, hint="give it with --base MODEL, or use --verify quick", code="no-base")
        if not full and recorded not in _PROOFS:
            text = f"{self._root} was never verified: the run that made it was told not to"
            raise VerifyError(text, hint="prove it with --verify full --base MODEL", code="unproven")
        report = yield from verify(self._root, self._options.base if full else None)
        if not report.ok:
            first, more = report.mismatches[0], len(report.mismatches) - 1
            text = f"{first.where} {first.text}{f' (the first of {more + 1})' if more else ''}, so nothing is published"
            raise VerifyError(text, hint="see `qtquant verify`, and make the result again", code="mismatch")

    def _made(self, target: Target) -> Generator[Event, None, Target]:
        """The destination as it is once the repository and the branch are there."""
        api, branch = self._api, self._to.branch
        if not target.exists:
            making = f"making {self._repo}"
            yield from retried(
                lambda: api.create_repo(self._repo, private=self._to.private, repo_type="model", exist_ok=True), making
            )
            LOGGER.info("made the repository %s", self._repo)
        if branch and not target.head:
            making = f"making the branch {branch}"
            yield from retried(lambda: api.create_branch(self._repo, branch=branch, exist_ok=True), making)
        if target.exists and (target.head or not branch):
            return target
        made = yield from look(api, self._repo, branch)
        check(made, self._to, (), overwrite=True)  # nothing private goes where it turns out that everybody can see it
        return made

    def _sent(self, target: Target, prepared: Prepared) -> Generator[Event, None, Published]:
        items = self._items(prepared)
        state = State(self._to, self._root, self._api.endpoint, prepared.files)
        known = sum(item.file.bytes for item in items if item.file.sha256 in state.before.sent)
        done = sum(1 for item in items if item.file.sha256 in state.before.sent)
        if state.before.committing and self._to.pull_request:
            text = f"the pull request may be there already, from a try whose answer was lost: see the discussions of {self._repo}"
            yield Warned("pull-request", text)
        yield RunStarted(len(items), sum(item.file.bytes for item in items) - known, done)
        yield StageChanged("upload")
        state.sent(())
        first = sorted(items, key=lambda item: item.file.sha256 not in state.before.sent)
        sent = yield from self._send(first, state)
        removed = stale(target, prepared.files) if self._options.overwrite else ()
        message = self._options.message or f"{prepared.card.title} in the {prepared.card.format} format, by QtQuant"
        wanted = commit_of(self._to, self._repo, target.head, message, sent.operations, sent.files, removed)
        state.committing()
        made = yield from commit(self._api, wanted)
        yield from check_arrived(self._api, self._repo, made.commit, sent.files)
        state.done()
        LOGGER.info("published %s files in %s", len(sent.files), self._repo)
        return Published(
            repo=self._repo,
            url=f"{self._api.endpoint}/{self._repo}{f'/tree/{self._to.branch}' if self._to.branch else ''}",
            branch=self._to.branch,
            commit=made.commit,
            pull_request=made.pull_request,
            private=target.private,
            files=tuple(sorted(sent.files, key=lambda file: file.name)),
            removed=removed,
            bytes_sent=sent.bytes_sent,
            seconds=round(monotonic() - self._began, 3),
        )

    def _send(self, items: Sequence[Item], state: State) -> Generator[Event, None, Sending]:
        api, repo, to = self._api, self._repo, self._to

        def transfer(operation: CommitOperationAdd) -> None:
            api.preupload_lfs_files(repo, [operation], revision=to.branch or None, create_pr=to.pull_request or None)

        with Sender(items, transfer, state.sent) as sender:
            return (yield from sender.run())

    def _items(self, prepared: Prepared) -> list[Item]:
        """Everything that the commit will hold: weights first, the card last."""
        whole = [Item(file, self._root / file.name) for file in prepared.files]
        made = [(name, data) for name, data in prepared.pictures.items() if f"({name})" in self._card]
        return whole + [Item(_described(name, data), data) for name, data in [*made, (README, self._card.encode())]]


def _check_head(card: str) -> None:
    """Raises PublishError before anything is sent for a card that the Hub would refuse in the end."""
    try:
        check_head(card)
    except ValueError:
        raise bad_card() from None


def _described(name: str, data: bytes) -> PublishedFile:
    return PublishedFile(name, len(data), hashlib.sha256(data).hexdigest())
