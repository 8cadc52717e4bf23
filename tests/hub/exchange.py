"""One request and its answer, and what can go wrong with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from tests.hub.contents import Content, part_of, size_of

if TYPE_CHECKING:
    from tests.hub.server import HubServer


@dataclass
class Fault:
    """What befalls requests whose path `pattern` is found in, `times` times, after `after` of them went well."""

    pattern: str = ""
    method: str = ""
    times: int = 1
    after: int = 0
    status: int = 0
    """Answered instead, with `headers`; 0 lets the answer be."""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes of a body after which the connection is dropped: of the answer's, or of the request's where it brings one."""
    stall: float = 0.0
    """Seconds of silence before the answer."""
    lost: bool = False
    """Whether the request is carried out, and its answer never leaves."""
    spoil: bool = False
    """Whether the answer's bytes are others, as many."""

    def meets(self, method: str, path: str) -> bool:
        """Whether it befalls this request; counts it."""
        if not self.times or (self.method and self.method != method) or not re.search(self.pattern, path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Request:
    """What was asked. The body is read when it is asked for; who reads `stream` reads `length` bytes of it."""

    server: HubServer
    method: str
    path: str
    """Unquoted, without the query."""
    raw_path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """By name in lower case."""
    stream: BinaryIO
    fault: Fault | None = None
    read: int = 0
    """Bytes of the body read so far."""

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length") or 0)

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def take(self, most: int) -> bytes:
        """Up to `most` bytes more of the body. Raises ConnectionError where a fault cuts it."""
        limit = self.length if self.fault is None or self.fault.cut is None else min(self.length, self.fault.cut)
        data = self.stream.read(min(most, limit - self.read))
        self.read += len(data)
        if not data and self.read < self.length:
            raise ConnectionError("cut by a fault")
        return data

    @cached_property
    def body(self) -> bytes:
        return b"".join(iter(lambda: self.take(1 << 20), b""))

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What is answered; `start` to `stop` of `body` is sent. `counted` is the name under which the bytes sent are counted."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Content = b""
    start: int = 0
    stop: int | None = None
    counted: str = ""

    @property
    def length(self) -> int:
        return (size_of(self.body) if self.stop is None else self.stop) - self.start

    def part(self, at: int, length: int) -> bytes:
        """`length` bytes from `at` on, of those that are sent."""
        return part_of(self.body, self.start + at, self.start + at + length)


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())


def refusal(status: int, code: str = "", message: str = "", commit: str = "") -> Answer:
    """What the Hub says where it gives nothing."""
    named = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
    return Answer(status, {name: value for name, value in named.items() if value})


def ranged(answer: Answer, asked: str) -> Answer:
    """The answer with the part of its body that a Range header asks for."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.strip())
    size = size_of(answer.body)
    if not found or not any(found.groups()):
        return answer
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or stop <= start:
        return Answer(416, {"Content-Range": f"bytes */{size}"}, counted=answer.counted)
    headers = {**answer.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(206, headers, answer.body, start, stop, answer.counted)
