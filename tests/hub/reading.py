"""What the Hub gives: models found and described, their trees, and their files whole or in part."""

from __future__ import annotations

from tests.hub.access import may_fetch, may_read, of_repo, taken_apart
from tests.hub.contents import sha1_of, sha256_of, size_of
from tests.hub.describing import DESCRIBING
from tests.hub.exchange import Answer, Request, ranged, refusal
from tests.hub.repos import Repo, is_large
from tests.hub.server import Route

__all__ = ["ROUTES", "may_fetch", "may_read", "of_repo", "taken_apart"]

_REPO = r"([^/]+/[^/]+)"


@of_repo
def resolve(request: Request, name: str, repo: Repo, rest: str) -> Answer:
    """A file: small ones as they are, large ones by a redirection to where they are stored."""
    refused = may_fetch(request, repo)
    if refused:
        return refused
    revision, file = taken_apart(repo, rest)
    if revision is None:
        return refusal(404, "RevisionNotFound")
    commit, content = repo.commit(revision), repo.revisions[revision].get(file)
    if content is None:
        return refusal(404, "EntryNotFound", commit=commit)
    if not is_large(file, content):
        headers = {"ETag": f'"{sha1_of(content)}"', "X-Repo-Commit": commit, "Content-Type": "application/octet-stream"}
        return ranged(Answer(200, headers, content, counted=f"{name}/{file}"), request.headers.get("range", ""))
    headers = {
        "X-Repo-Commit": commit,
        "X-Linked-ETag": f'"{sha256_of(content)}"',
        "X-Linked-Size": str(size_of(content)),
        "Location": f"{request.server.cdn}/stored/{name}/{sha256_of(content)}",
    }
    return Answer(302, headers)


def stored(request: Request, name: str, sha256: str) -> Answer:
    """A large file, from the host that stores them and asks for no token."""
    repo = request.server.repos.get(name, Repo())
    for files in repo.revisions.values():
        for file, content in files.items():
            if sha256_of(content) == sha256:
                answer = Answer(200, {"ETag": f'"{sha256}"'}, content, counted=f"{name}/{file}")
                return ranged(answer, request.headers.get("range", ""))
    return refusal(403)


ROUTES: tuple[Route, ...] = (
    Route("GET HEAD", rf"/{_REPO}/resolve/(.+)", resolve),
    Route("GET HEAD", rf"/stored/{_REPO}/([0-9a-f]+)", stored),
    *DESCRIBING,
)
