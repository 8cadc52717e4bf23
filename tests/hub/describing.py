"""What the Hub's API says: who asks, which models there are, and what is in each of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.hub.access import of_repo, taken_apart
from tests.hub.contents import Content, sha1_of, sha256_of, size_of
from tests.hub.exchange import Answer, Request, as_json, refusal
from tests.hub.repos import MAIN, Repo, is_large
from tests.hub.server import Route

_REPO = r"([^/]+/[^/]+)"
_PLAIN = (
    "author",
    "downloads",
    "likes",
    "tags",
    "pipeline_tag",
    "library_name",
    "cardData",
    "lastModified",
    "safetensors",
    "gguf",
)
_SORTS = {"downloads": "downloads", "likes": "likes", "lastModified": "lastModified", "createdAt": "createdAt"}


def who(request: Request) -> Answer:
    account = request.server.account(request)
    if account is None:
        return refusal(401, message="Invalid username or password.")
    orgs = [{"name": org, "roleInOrg": "write"} for org in account.orgs]
    auth = {"type": "access_token", "accessToken": {"displayName": "a token", "role": account.role}}
    return as_json({"type": "user", "name": account.name, "fullname": account.name.title(), "orgs": orgs, "auth": auth})


def described(name: str, repo: Repo, revision: str = MAIN, *, blobs: bool = False) -> dict[str, Any]:
    """A model as the API describes it."""
    found = {"_id": name, "id": name, "modelId": name, "author": name.partition("/")[0], "sha": repo.commit(revision)}
    found |= {"private": repo.private, "gated": "auto" if repo.gated is True else repo.gated, "disabled": False}
    found |= {"downloads": 0, "likes": 0, "tags": [], "lastModified": "2026-01-02T03:04:05.000Z", **repo.info}
    files = sorted(repo.revisions[revision].items())
    return {**found, "siblings": [_sibling(file, content, blobs) for file, content in files]}


def _sibling(file: str, content: Content, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": file}
    found: dict[str, Any] = {"rfilename": file, "blobId": sha1_of(content), "size": size_of(content)}
    if is_large(file, content):
        found["lfs"] = {"sha256": sha256_of(content), "size": size_of(content), "pointerSize": 135}
    return found


@of_repo
def model(request: Request, name: str, repo: Repo, revision: str = MAIN) -> Answer:
    found = repo.resolve(revision)
    if found is None:
        return refusal(404, "RevisionNotFound")
    return as_json(described(name, repo, found, blobs="blobs" in request.query))


@of_repo
def refs(request: Request, name: str, repo: Repo) -> Answer:
    def ref(kind: str, named: str, branch: str) -> dict[str, str]:
        return {"name": named, "ref": f"refs/{kind}/{named}", "targetCommit": repo.commit(branch)}

    branches = [ref("heads", branch, branch) for branch in repo.revisions if not branch.startswith("refs/")]
    tags = [ref("tags", tag, branch) for tag, branch in repo.tags.items()]
    return as_json({"branches": branches, "tags": tags, "converts": []})


@of_repo
def tree(request: Request, name: str, repo: Repo, rest: str) -> Answer:
    revision, folder = taken_apart(repo, f"{rest}/")
    if revision is None:
        return refusal(404, "RevisionNotFound")
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    deep = request.query.get("recursive", ["False"])[0].lower() == "true"
    found: dict[str, dict[str, Any]] = {}
    for file, content in sorted(repo.revisions[revision].items()):
        if file.startswith(prefix):
            below, slash, _ = file.removeprefix(prefix).partition("/")
            if slash:
                found.setdefault(
                    prefix + below, {"type": "directory", "path": prefix + below, "oid": "0" * 40, "size": 0}
                )
            if not slash or deep:
                found[file] = entry(file, content)
    return paged(request, list(found.values()))


@of_repo
def paths(request: Request, name: str, repo: Repo, revision: str) -> Answer:
    from urllib.parse import parse_qs

    found, asked = repo.resolve(revision), parse_qs(request.body.decode()).get("paths", [])
    if found is None:
        return refusal(404, "RevisionNotFound")
    files = repo.revisions[found]
    return as_json([entry(file, files[file]) for file in asked if file in files])


def entry(file: str, content: Content) -> dict[str, Any]:
    """A file as trees name it."""
    found: dict[str, Any] = {"type": "file", "path": file, "size": size_of(content), "oid": sha1_of(content)}
    if is_large(file, content):
        found["lfs"] = {"oid": sha256_of(content), "size": size_of(content), "pointerSize": 135}
    return found


def models(request: Request) -> Answer:
    """The models that a search names."""
    query = {name: values[-1] for name, values in request.query.items()}
    shown = [(name, repo) for name, repo in request.server.repos.items() if not repo.private or _mine(request, name)]
    found = [described(name, repo) for name, repo in shown if _fits(name, repo, request.query)]
    if query.get("sort") in _SORTS:
        found.sort(key=lambda model: model.get(_SORTS[query["sort"]]) or 0, reverse=True)
    wanted = {*request.query.get("expand", _PLAIN), "id", "_id", "modelId"}
    found = [{key: value for key, value in model.items() if key in wanted} for model in found]
    return paged(request, found, int(query.get("limit", request.server.page)))


def _mine(request: Request, name: str) -> bool:
    account = request.server.account(request)
    return account is not None and name.partition("/")[0] in (account.name, *account.orgs)


def _fits(name: str, repo: Repo, query: dict[str, list[str]]) -> bool:
    info, one = repo.info, {key: values[-1] for key, values in query.items()}
    tags = {*info.get("tags", ()), info.get("pipeline_tag"), info.get("library_name")}
    total = (info.get("safetensors") or {}).get("total", 0)
    low, high = _bounds(one.get("num_parameters", ""))
    return (
        all(word.lower() in name.lower() for word in one.get("search", "").split())
        and all(filter in tags for filter in query.get("filter", ()))
        and one.get("author", name.partition("/")[0]) == name.partition("/")[0]
        and one.get("pipeline_tag", info.get("pipeline_tag")) == info.get("pipeline_tag")
        and one.get("gated", str(bool(repo.gated)).lower()).lower() == str(bool(repo.gated)).lower()
        and ("num_parameters" not in one or low <= total <= high)
    )


def _bounds(text: str) -> tuple[float, float]:
    """What `min:6B,max:128B` says."""
    units = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    said = dict(part.split(":") for part in text.split(",") if part)
    low, high = (said.get(name, "") for name in ("min", "max"))
    return (
        float(low[:-1]) * units[low[-1]] if low else 0.0,
        float(high[:-1]) * units[high[-1]] if high else float("inf"),
    )


def paged(request: Request, rows: list[Any], most: int = 0) -> Answer:
    """The rows from `cursor` on, and where the next ones are."""
    at, most = int(request.query.get("cursor", ["0"])[0]), min(most or request.server.page, request.server.page)
    headers = {}
    if at + most < len(rows):
        query = urlencode({**request.query, "cursor": [str(at + most)]}, doseq=True)
        headers["Link"] = f'<{request.server.url}{request.raw_path}?{query}>; rel="next"'
    return as_json(rows[at : at + most], headers=headers)


def device(request: Request) -> Answer:
    """A code for a browser; what `answers` says is then said to whoever asks for a token, one after the other."""
    url = f"{request.server.url}/device"
    return as_json(
        {"device_code": "d", "user_code": "AB-CD", "verification_uri": url, "expires_in": 5, "interval": 0.1}
    )


def device_token(request: Request) -> Answer:
    said = request.server.answers.pop(0) if request.server.answers else {"error": "authorization_pending"}
    return as_json(said, 200 if "access_token" in said else 400)


DESCRIBING: tuple[Route, ...] = (
    Route("POST", r"/oauth/device", device),
    Route("POST", r"/oauth/token", device_token),
    Route("GET", r"/api/whoami-v2", who),
    Route("GET", r"/api/models", models),
    Route("GET", rf"/api/models/{_REPO}", model),
    Route("GET", rf"/api/models/{_REPO}/revision/(.+)", model),
    Route("GET", rf"/api/models/{_REPO}/refs", refs),
    Route("GET", rf"/api/models/{_REPO}/tree/(.+)", tree),
    Route("POST", rf"/api/models/{_REPO}/paths-info/(.+)", paths),
)
