"""What stands at a destination already, and whether it may be written there."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from qtquant_app.core.errors import PublishError
from qtquant_app.core.events import Event
from qtquant_app.core.publication import Destination, PublishedFile
from qtquant_app.engine.publish.waiting import retried

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
_SIDE_FILES = frozenset({"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt"})
_TAKEN_FOR_OURS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
"""What a reader of a folder of safetensors would load in place of ours, or with them."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    size: int
    sha256: str
    """Of a file that is stored apart from git; empty of others."""
    blob: str
    """The git name of its content."""


@dataclass(frozen=True, slots=True)
class Target:
    """A branch of a repository; `exists` says whether the repository does, `head` is empty where the branch does not."""

    repo: str
    exists: bool = False
    private: bool = False
    head: str = ""
    files: Mapping[str, StoredFile] | None = None

    @property
    def there(self) -> Mapping[str, StoredFile]:
        return self.files or {}


def look(api: HfApi, repo: str, branch: str) -> Generator[Event, None, Target]:
    """The state of `branch`, the main one where it is empty; of the main one too where that branch is not there yet."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    doing = f"looking at {repo}"
    try:
        info = yield from retried(lambda: api.model_info(repo), doing)
    except RepositoryNotFoundError:
        return Target(repo)
    head, private = str(info.sha or ""), bool(info.private)
    if branch:
        try:
            head = str((yield from retried(lambda: api.model_info(repo, revision=branch), doing)).sha or "")
        except RevisionNotFoundError:
            files = yield from files_at(api, repo, head)
            return Target(repo, True, private, "", files)
    return Target(repo, True, private, head, (yield from files_at(api, repo, head)))


def files_at(api: HfApi, repo: str, revision: str) -> Generator[Event, None, dict[str, StoredFile]]:
    """The files of a commit by their paths."""
    if not revision:
        return {}

    def listed() -> dict[str, StoredFile]:
        found = {}
        for entry in api.list_repo_tree(repo, revision=revision, recursive=True):
            if hasattr(entry, "blob_id"):
                lfs = getattr(entry, "lfs", None)
                found[entry.path] = StoredFile(
                    int(entry.size), str(getattr(lfs, "sha256", "") or ""), str(entry.blob_id)
                )
        return found

    return (yield from retried(listed, f"listing the files of {repo}"))


def check(target: Target, destination: Destination, files: Sequence[PublishedFile], *, overwrite: bool) -> None:
    """Raises PublishError where the destination is not one to write to."""
    if destination.pull_request and not target.exists:
        text = f"there is no repository {target.repo} to propose anything to"
        raise PublishError(text, hint="leave --pull-request out to make it", code="hub-not-found")
    if destination.pull_request and destination.branch and not target.head:
        text = f"{target.repo} has no branch {destination.branch} to propose anything to"
        raise PublishError(text, hint="leave --branch out to propose it to the main one", code="hub-revision")
    if destination.private and target.exists and not target.private:
        text = f"{target.repo} is there already, and everybody can see it"
        hint = "make it private in its settings on the Hub, or leave --private out"
        raise PublishError(text, hint=hint, code="hub-public")
    others = other_weights(target, files)
    if others and not overwrite:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        text = f"{target.repo} holds other weights already: {others[0]}{more}"
        hint = "choose another name or --branch, or replace them with --overwrite"
        raise PublishError(text, hint=hint, code="hub-exists")


def other_weights(target: Target, files: Sequence[PublishedFile]) -> tuple[str, ...]:
    """Weight files at the top of the repository that are not ours, or are called like ours and hold something else."""
    ours = {file.name: file for file in files}
    gguf = any(name.endswith(".gguf") for name in ours)
    found = []
    for name, there in sorted(target.there.items()):
        if "/" in name or not name.endswith(_WEIGHTS) or name in _SIDE_FILES:
            continue
        mine = ours.get(name)
        if mine is None and gguf and name.endswith(".gguf"):
            continue  # of GGUF files a repository holds many, and each is loaded by its name
        if mine is None or not same(there, mine.bytes, mine.sha256):
            found.append(name)
    return tuple(found)


def stale(target: Target, files: Sequence[PublishedFile]) -> tuple[str, ...]:
    """Files of the repository that a reader would load in place of ours: they go with the commit that brings ours."""
    ours = {file.name for file in files}
    if not any(PurePosixPath(name).suffix == ".safetensors" for name in ours):
        return ()
    return tuple(
        name
        for name in sorted(target.there)
        if "/" not in name and name.endswith(_TAKEN_FOR_OURS) and name not in ours and name not in _SIDE_FILES
    )


def same(there: StoredFile, size: int, sha256: str) -> bool:
    """Whether a file stored apart from git is the one of that hash; of others the size alone is compared."""
    return there.size == size and there.sha256 in ("", sha256)
