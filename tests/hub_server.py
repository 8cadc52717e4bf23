"""A Hub on the loopback address, as far as its client needs one to fetch files: repositories are folders of bytes in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

MAIN = "main"


@dataclass
class Repo:
    """The files of each revision; `token` is asked for where there is one, `gated` refuses whoever has none."""

    revisions: dict[str, dict[str, bytes]] = field(default_factory=lambda: {MAIN: {}})
    token: str = ""
    gated: bool = False

    def commit(self, revision: str) -> str:
        """The commit that a revision stands for: a hash of its files, as on the Hub it is one of all that led to them."""
        files = sorted(self.revisions[revision].items())
        return hashlib.sha1(repr(files).encode(), usedforsecurity=False).hexdigest()

    def resolve(self, name: str) -> str | None:
        """The revision that a branch or a commit names."""
        if name in self.revisions:
            return name
        return next((revision for revision in self.revisions if self.commit(revision) == name), None)


class HubServer(ThreadingHTTPServer):
    """Answers HEAD and GET of `/ORG/NAME/resolve/REVISION/FILE`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.asked: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.tokens: list[str] = []
        """What each request brought along as its Authorization."""
        self.status = 0
        """Where set, all that is answered."""
        self.raw: bytes | None = None
        """Where set, what is sent to whoever asks for anything, whether it is HTTP or not."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, repo: str, files: dict[str, bytes], revision: str = MAIN) -> Repo:
        """Puts files into a revision of a repository, which is made where there is none."""
        made = self.repos.setdefault(repo, Repo())
        made.revisions.setdefault(revision, {}).update(files)
        return made


@contextmanager
def serving() -> Iterator[HubServer]:
    """A server that answers until the end."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the tests' output clean."""

    def _answer(self, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append((self.command, path))
        self.server.tokens.append(self.headers.get("Authorization", ""))
        if self.server.raw is not None:
            self.close_connection = True
            self.wfile.write(self.server.raw)
            return None
        if self.server.status:
            return self._refuse(self.server.status, "")
        parts = path.strip("/").split("/")
        if len(parts) < 5 or parts[2] != "resolve":
            return self._refuse(404, "")
        repo = self.server.repos.get("/".join(parts[:2]))
        if repo is None:
            return self._refuse(401, "RepoNotFound")
        if repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}":
            return self._refuse(403, "GatedRepo") if repo.gated else self._refuse(401, "RepoNotFound")
        revision = repo.resolve(parts[3])
        if revision is None:
            return self._refuse(404, "RevisionNotFound")
        body = repo.revisions[revision].get("/".join(parts[4:]))
        if body is None:
            return self._refuse(404, "EntryNotFound", repo.commit(revision))
        self._send(repo.commit(revision), body, with_body)

    def _send(self, commit: str, body: bytes, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, commit: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()
