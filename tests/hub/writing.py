"""What the Hub takes: repositories and branches made, files sent, commits and pull requests."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

from tests.hub.access import may_read, of_repo
from tests.hub.contents import sha1_of, sha256_of
from tests.hub.exchange import Answer, Request, as_json, refusal
from tests.hub.repos import MAIN, Repo, is_large
from tests.hub.server import HubServer, Route

_REPO = r"([^/]+/[^/]+)"
_PIECE = 1 << 16


@dataclass
class Store:
    """The contents that were sent to a server, by repository and hash, and the parts of those that come in several."""

    part_bytes: int = 0
    """Of a part, for contents longer than one; 0 for everything in one piece."""
    room: int | None = None
    """Bytes of the longest content that is taken."""
    spoil: str = ""
    """`seen`: what arrives is changed, and the check of it fails; `unseen`: it is changed after the check."""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    parts: dict[tuple[str, str], dict[int, bytes]] = field(default_factory=dict)
    puts: list[tuple[str, int]] = field(default_factory=list)
    """The hash of each request that brought content, and the bytes that came, however it ended."""
    proposed: list[dict[str, Any]] = field(default_factory=list)
    """Pull requests: repository, branch, title."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def received(self, sha256: str) -> int:
        """Bytes of one content over all tries."""
        return sum(count for digest, count in self.puts if digest == sha256)


_STORES: WeakKeyDictionary[HubServer, Store] = WeakKeyDictionary()


def store_of(server: HubServer) -> Store:
    """The store of a server."""
    return _STORES.setdefault(server, Store())


def may_write(request: Request, namespace: str) -> Answer | None:
    """Why whoever asks may not write under a namespace; None where they may."""
    if not request.server.accounts:
        return None
    account = request.server.account(request)
    if account is None:
        return refusal(401, message="Invalid username or password.")
    if account.role == "read" or namespace not in (account.name, *account.orgs):
        return refusal(403, message="You don't have the required permissions to perform this operation")
    return None


def to_repo(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Calls `function(request, name, repo, ...)` with the repository of the path, where whoever asks may write or proposes."""

    @wraps(function)
    def answer(request: Request, name: str, *rest: str) -> Answer:
        repo = request.server.repos.get(name)
        refused = may_read(request, repo)
        if refused is None and "create_pr" not in request.query:
            refused = may_write(request, name.partition("/")[0])
        return refused or function(request, name, repo, *rest)

    return answer


def create(request: Request) -> Answer:
    account = request.server.account(request)
    wanted = request.json
    namespace = wanted.get("organization") or (account.name if account else "someone")
    refused = may_write(request, namespace)
    if refused is not None:
        return refused
    name = f"{namespace}/{wanted['name']}"
    url = {"url": f"{request.server.url}/{name}"}
    if name in request.server.repos:
        return as_json({"error": "You already created this model repo", **url}, 409)
    repo = Repo(private=wanted.get("visibility") == "private" or wanted.get("private") is True)
    repo.revisions[MAIN][".gitattributes"] = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    request.server.repos[name] = repo
    return as_json(url)


@to_repo
def branch(request: Request, name: str, repo: Repo, wanted: str) -> Answer:
    if wanted in repo.revisions:
        return as_json({"error": "Reference already exists"}, 409)
    start = repo.resolve(request.json.get("startingPoint", MAIN)) or MAIN
    repo.revisions[wanted] = dict(repo.revisions[start])
    return as_json({})


@to_repo
def preupload(request: Request, name: str, repo: Repo, revision: str) -> Answer:
    branch = repo.resolve(revision)
    if branch is None:
        return refusal(404, "RevisionNotFound")
    there = repo.revisions[branch]
    files = []
    for file in request.json["files"]:
        path = file["path"]
        mode = "lfs" if is_large(path, b"") or file["size"] >= 10_000_000 or path.endswith(".png") else "regular"
        known = {"oid": (sha256_of if mode == "lfs" else sha1_of)(there[path])} if path in there else {}
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
    return as_json({"files": files})


@of_repo
def batch(request: Request, name: str, repo: Repo) -> Answer:
    """Where each content goes; nowhere for what is there. Who proposes names no branch, and needs no right to it."""
    refused = may_write(request, name.partition("/")[0]) if "ref" in request.json else None
    if refused is not None:
        return refused
    store = store_of(request.server)
    return as_json(
        {"transfer": "basic", "objects": [_placed(request, store, name, one) for one in request.json["objects"]]}
    )


def _placed(request: Request, store: Store, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    sha256, size = wanted["oid"], wanted["size"]
    if store.room is not None and size > store.room:
        return {**wanted, "error": {"code": 413, "message": "the storage limit of the repository is reached"}}
    if (name, sha256) in store.blobs:
        return wanted
    href = f"{request.server.cdn}/put/{name}/{sha256}"
    verify = {"href": f"{request.server.url}/verify/{name}/{sha256}"}
    if store.part_bytes and size > store.part_bytes:
        count = -(-size // store.part_bytes)
        header = {"chunk_size": str(store.part_bytes), **{str(n): f"{href}/{n}" for n in range(1, count + 1)}}
        upload = {"href": f"{request.server.cdn}/complete/{name}/{sha256}", "header": header}
        return {**wanted, "actions": {"upload": upload, "verify": verify}}
    return {**wanted, "actions": {"upload": {"href": href}, "verify": verify}}


def put(request: Request, name: str, sha256: str, part: str = "") -> Answer:
    """Content, from a client that shows no token here."""
    store = store_of(request.server)
    if request.token:
        return refusal(400, message="a token has come to where files are stored")
    pieces: list[bytes] = []
    try:
        while piece := request.take(_PIECE):
            pieces.append(piece)
    finally:
        with store.lock:
            store.puts.append((sha256, sum(map(len, pieces))))
    data = b"".join(pieces)
    with store.lock:
        if part:
            store.parts.setdefault((name, sha256), {})[int(part)] = data
        else:
            store.blobs[name, sha256] = _kept(store, data, "seen")
    return Answer(200, {"ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'})


def complete(request: Request, name: str, sha256: str) -> Answer:
    """Makes one content of its parts, each named by its tag."""
    store = store_of(request.server)
    with store.lock:
        parts = store.parts.pop((name, sha256), {})
        if [part["partNumber"] for part in request.json["parts"]] != sorted(parts):
            return refusal(400, message="parts are missing")
        data = b"".join(parts[number] for number in sorted(parts))
        store.blobs[name, sha256] = _kept(store, data, "seen")
    return as_json({})


@of_repo
def verify(request: Request, name: str, repo: Repo, sha256: str) -> Answer:
    store = store_of(request.server)
    with store.lock:
        data = store.blobs.get((name, sha256), b"")
        if hashlib.sha256(data).hexdigest() != sha256 or len(data) != request.json["size"]:
            store.blobs.pop((name, sha256), None)
            return refusal(422, message="the sha256 of the content does not match")
        store.blobs[name, sha256] = _kept(store, data, "unseen")
    return as_json({})


def _kept(store: Store, data: bytes, when: str) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if store.spoil == when and data else data


@to_repo
def commit(request: Request, name: str, repo: Repo, revision: str) -> Answer:
    """Everything or nothing."""
    branch = repo.resolve(revision)
    if branch is None:
        return refusal(404, "RevisionNotFound")
    lines = [json.loads(line) for line in request.body.splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    if header.get("parentCommit", repo.commit(branch)) != repo.commit(branch):
        return refusal(412, message="A commit has happened since. Please refresh and try again.")
    files = dict(repo.revisions[branch])
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            blob = store_of(request.server).blobs.get((name, value["oid"]))
            if blob is None:
                return refusal(400, message="LFS pointer pointed to a file that does not exist")
            files[value["path"]] = blob
        elif line["key"] == "deletedFile" and files.pop(value["path"], None) is None:
            return refusal(404, "EntryNotFound", "A file with this name doesn't exist")
    return _committed(request, name, repo, branch, header["summary"], files)


def _committed(request: Request, name: str, repo: Repo, branch: str, title: str, files: dict[str, Any]) -> Answer:
    store, answer = store_of(request.server), {}
    if "create_pr" in request.query:
        store.proposed.append({"repo": name, "branch": branch, "title": title})
        branch = f"refs/pr/{len(store.proposed)}"
        answer["pullRequestUrl"] = f"{request.server.url}/{name}/discussions/{len(store.proposed)}"
    repo.revisions[branch] = files
    made = repo.commit(branch)
    repo.log.append((branch, made, title))
    return as_json(
        {"success": True, "commitOid": made, "commitUrl": f"{request.server.url}/{name}/commit/{made}", **answer}
    )


def validate(request: Request) -> Answer:
    """What the Hub thinks of a card's head."""
    import yaml

    parts = request.json["content"].split("---\n")
    try:
        head = yaml.safe_load(parts[1]) if len(parts) > 2 else {}
    except yaml.YAMLError as error:
        return as_json({"errors": [{"message": str(error)}]}, 400)
    told = [] if isinstance(head, dict) and head.get("license") else [{"message": "empty or missing license"}]
    return as_json({"warnings": told})


ROUTES: tuple[Route, ...] = (
    Route("POST", "/api/repos/create", create),
    Route("POST", "/api/validate-yaml", validate),
    Route("POST", rf"/api/models/{_REPO}/branch/(.+)", branch),
    Route("POST", rf"/api/models/{_REPO}/preupload/(.+)", preupload),
    Route("POST", rf"/api/models/{_REPO}/commit/(.+)", commit),
    Route("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", batch),
    Route("PUT", rf"/put/{_REPO}/([0-9a-f]+)", put),
    Route("PUT", rf"/put/{_REPO}/([0-9a-f]+)/([0-9]+)", put),
    Route("POST", rf"/complete/{_REPO}/([0-9a-f]+)", complete),
    Route("POST", rf"/verify/{_REPO}/([0-9a-f]+)", verify),
)
