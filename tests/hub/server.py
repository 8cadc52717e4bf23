"""The server: takes requests apart, lets a route answer them, and lets happen to the answer what a test has laid down."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, cast
from urllib.parse import parse_qs, unquote

from tests.hub.contents import Content
from tests.hub.exchange import Answer, Fault, Request, refusal
from tests.hub.repos import MAIN, Account, Repo

_PIECE = 1 << 18


class Route(NamedTuple):
    """What answers a request: its methods, the pattern of its whole path, and who is called with the pattern's groups."""

    methods: str
    pattern: str
    answer: Callable[..., Answer]


class HubServer(ThreadingHTTPServer):
    """Repositories by name, and all that was asked of them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        from tests.hub import reading, writing

        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: tuple[Route, ...] = (*reading.ROUTES, *writing.ROUTES)
        self.repos: dict[str, Repo] = {}
        self.accounts: dict[str, Account] = {}
        """By token. Where there are any, every other token is refused."""
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.tokens: list[str] = []
        """What each request brought along as its Authorization."""
        self.sent: Counter[str] = Counter()
        """Bytes of bodies sent, by `org/name/file`, or by path where it is no file of a repository."""
        self.spans: list[tuple[str, int, int]] = []
        """Of what was sent, each stretch: what `sent` counts it under, and where in it it begins and ends."""
        self.received: Counter[str] = Counter()
        """Bytes of bodies received, by path."""
        self.answers: list[dict[str, object]] = []
        """What is said to whoever waits for a token while a person is asked in a browser."""
        self.status = 0
        """Where set, all that is answered."""
        self.raw: bytes | None = None
        """Where set, what is sent to whoever asks for anything, whether it is HTTP or not."""
        self.page = 1000
        """Entries in one answer of a list that goes on in the next."""
        self.lock = threading.RLock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def cdn(self) -> str:
        """Another host, to which no token may go."""
        return f"http://localhost:{self.server_address[1]}"

    def add(self, repo: str, files: dict[str, Content], revision: str = MAIN) -> Repo:
        """Puts files into a branch of a repository, which is made where there is none."""
        made = self.repos.setdefault(repo, Repo())
        made.revisions.setdefault(revision, {}).update(files)
        return made

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client that goes away in the middle is what some tests are about."""

    def answer(self, request: Request) -> Answer:
        """What a request gets, faults left aside."""
        for route in self.routes:
            found = re.fullmatch(route.pattern, request.path) if request.method in route.methods.split() else None
            if found:
                return self._unknown(request) or route.answer(request, *found.groups())
        return refusal(404)

    def account(self, request: Request) -> Account | None:
        """Who asks."""
        return self.accounts.get(request.token)

    def _unknown(self, request: Request) -> Answer | None:
        """The refusal of a token that nobody has, or has any longer."""
        if not request.token or not self.accounts:
            return None
        account = self.accounts.get(request.token)
        if account is not None and account.left is not None:
            account.left -= 1
        if account is not None and (account.left is None or account.left >= 0):
            return None
        return refusal(401, message="Invalid credentials in Authorization header")


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
    disable_nagle_algorithm = True
    server: HubServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Request(
            self.server,
            self.command,
            unquote(path),
            path,
            parse_qs(query, keep_blank_values=True),
            headers,
            cast("object", self.rfile),  # type: ignore[arg-type]
        )
        self._answer(asked)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the tests' output clean."""

    def _answer(self, asked: Request) -> None:
        with self.server.lock:
            self.server.asked.append((asked.method, asked.path))
            self.server.tokens.append(self.headers.get("Authorization", ""))
            asked.fault = next((fault for fault in self.server.faults if fault.meets(asked.method, asked.path)), None)
        if self.server.raw is not None:
            self.close_connection = True
            self.wfile.write(self.server.raw)
            return
        try:
            answer = self._made(asked)
            while asked.take(_PIECE):  # what nobody wanted
                pass
        except ConnectionError:
            self.close_connection = True
            return
        finally:
            with self.server.lock:
                self.server.received[asked.path] += asked.read
        if asked.fault is not None and asked.fault.lost:
            self.close_connection = True
            return
        self._send(asked, answer)

    def _made(self, asked: Request) -> Answer:
        fault = asked.fault
        if fault is not None and fault.stall:
            time.sleep(fault.stall)
        if fault is not None and fault.status:
            return Answer(fault.status, dict(fault.headers))
        return refusal(self.server.status) if self.server.status else self.server.answer(asked)

    def _send(self, asked: Request, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(answer.length), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if asked.method != "HEAD":
            self._send_body(asked, answer)

    def _send_body(self, asked: Request, answer: Answer) -> None:
        fault = asked.fault or Fault()
        whole = fault.cut is None or asked.length > 0
        end = answer.length if whole else min(answer.length, fault.cut or 0)
        for at in range(0, end, _PIECE):
            piece = answer.part(at, min(_PIECE, end - at))
            if fault.spoil:
                piece = bytes(byte ^ 0x55 for byte in piece)
            with self.server.lock:  # before whoever waits for it goes on
                name, start = answer.counted or asked.path, answer.start + at
                self.server.sent[name] += len(piece)
                self.server.spans.append((name, start, start + len(piece)))
            self.wfile.write(piece)
        if end < answer.length:
            self.close_connection = True
