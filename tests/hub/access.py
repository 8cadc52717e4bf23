"""Who may see a repository and its files, and how the Hub refuses the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from tests.hub.exchange import Answer, Request, refusal
from tests.hub.repos import Repo


def may_read(request: Request, repo: Repo | None) -> Answer | None:
    """Why a repository is not shown to whoever asks; None where it is. Gated ones are shown, their files are not."""
    if repo is None:
        return refusal(401, "RepoNotFound")
    account = request.server.account(request)
    if repo.token and not repo.gated and request.token != repo.token:
        return refusal(401, "RepoNotFound")
    if repo.private and account is None:
        return refusal(401, "RepoNotFound")
    return None


def may_fetch(request: Request, repo: Repo) -> Answer | None:
    """Why the files of a repository are not given to whoever asks; None where they are."""
    account = request.server.account(request)
    name = account.name if account else ""
    if not repo.gated or name in repo.granted or (repo.token and request.token == repo.token):
        return None
    if request.server.accounts and account is None:
        return refusal(401, "GatedRepo", "Access to this model is restricted. You must be authenticated to access it.")
    return refusal(403, "GatedRepo", "Access to this model is restricted and you are not in the authorized list.")


def of_repo(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Calls `function(request, name, repo, ...)` with the repository that the path names, where it may be seen."""

    @wraps(function)
    def answer(request: Request, name: str, *rest: str) -> Answer:
        repo = request.server.repos.get(name)
        return may_read(request, repo) or function(request, name, repo, *rest)

    return answer


def taken_apart(repo: Repo, rest: str) -> tuple[str | None, str]:
    """The branch and the file of `REVISION/FILE`: a revision may have slashes of its own."""
    parts = rest.split("/")
    for at in range(1, len(parts)):
        revision = repo.resolve("/".join(parts[:at]))
        if revision is not None:
            return revision, "/".join(parts[at:])
    return None, ""
