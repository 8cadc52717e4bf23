"""Data sets on the Hub: the Hub's own client against a server on the loopback address."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from qtquant_app.core.errors import SourceError
from qtquant_app.engine.hub import HubId
from qtquant_app.engine.samples import hub_data
from qtquant_app.engine.samples.found import look_up
from qtquant_app.engine.samples.hub_data import DataSet, data_set, table
from tests.hub.contents import Sparse, size_of
from tests.hub.exchange import Answer, Request
from tests.hub.reading import resolve
from tests.hub.server import HubServer, Route, serving

NAME = "org/prose"
TRAIN, TEST, CHATS = ({"text": "to train"}, {"text": "to test"}, {"messages": [{"role": "user", "content": "hi"}]})


def jsonl(*rows: object) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


FILES = {
    "README.md": b"# Prose",
    "data/test-00000-of-00001.jsonl": jsonl(TEST),
    "data/train-00000-of-00002.jsonl": jsonl(TRAIN, TRAIN),
    "data/train-00001-of-00002.jsonl": jsonl(TEST),
    "talk/train.jsonl": jsonl(CHATS),
}


def listed(request: Request, name: str, revision: str | None = None) -> Answer:
    """What the Hub says of a data set's files."""
    repo = request.server.repos["datasets/" + name]
    files = repo.revisions[revision or "main"].items()
    body = {"id": name, "siblings": [{"rfilename": file, "size": size_of(content)} for file, content in files]}
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def stored(request: Request, name: str, rest: str) -> Answer:
    answer: Answer = resolve(request, "datasets/" + name, rest)
    return answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with one data set; its client keeps what it gets in a folder of the test."""
    with serving() as server:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        server.add("datasets/" + NAME, dict(FILES))
        server.routes = (
            Route("GET", r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?", listed),
            Route("GET HEAD", r"/datasets/([^/]+/[^/]+)/resolve/(.+)", stored),
            *server.routes,
        )
        yield server


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("hub:org/a", DataSet(HubId("org/a"))),
        ("hub:org/a:en:train", DataSet(HubId("org/a"), ("en", "train"))),
        ("hub:org/a@v2:test", DataSet(HubId("org/a", "v2"), ("test",))),
        ("hf://datasets/org/a@v2/data/b.jsonl", DataSet(HubId("org/a", "v2"), (), "data/b.jsonl")),
        ("hf://datasets/org/a", DataSet(HubId("org/a"))),
        ("notes.txt", None),
        ("default", None),
    ],
)
def test_the_name_of_a_data_set_is_taken_apart(source: str, found: DataSet | None) -> None:
    assert data_set(source) == found


@pytest.mark.parametrize("source", ["hub:", "hub:../etc", "hub:a/b/c", "hub:a/b:c:d:e", "hub:a/b:", "hf://datasets/"])
def test_what_names_no_data_set_is_refused(source: str) -> None:
    with pytest.raises(SourceError, match="names no data set"):
        data_set(source)


@pytest.mark.parametrize(
    ("words", "items"),
    [
        ("", ["to train", "to train"]),
        (":train", ["to train", "to train"]),
        (":test", ["to test"]),
        (":data:test", ["to test"]),
        (":talk", [tuple(CHATS["messages"])]),
    ],
)
def test_the_first_file_of_the_split_is_read(words: str, items: list[Any], hub: HubServer) -> None:
    found = look_up(f"hub:{NAME}{words}").documents
    assert found is not None and list(found.items) == items


def test_a_file_can_be_named_and_is_then_known_without_a_network(hub: HubServer) -> None:
    source = f"hf://datasets/{NAME}/data/train-00001-of-00002.jsonl"
    first = look_up(source).documents
    hub.status = 503
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    again = look_up(source).documents
    assert first is not None and again is not None and list(again.items) == list(first.items) == ["to test"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (f"hub:{NAME}:validation", "has no such file"),
        (f"hf://datasets/{NAME}/none.jsonl", "has no 'none.jsonl'"),
    ],
)
def test_what_a_data_set_does_not_hold_is_said(source: str, says: str, hub: HubServer) -> None:
    with pytest.raises(SourceError, match=says) as refused:
        look_up(source)
    assert "README.md" in refused.value.hint


def test_a_file_too_large_to_fetch_is_refused_before_a_byte_is(hub: HubServer) -> None:
    hub.add("datasets/" + NAME, {"huge/train.jsonl": Sparse("huge", hub_data.MOST_FETCHED + 1, lambda a, b: b"")})
    with pytest.raises(SourceError, match="more than is fetched"):
        look_up(f"hub:{NAME}:huge")
    assert not any("resolve" in path for _, path in hub.asked)


@pytest.mark.parametrize("body", [b"[]", b'{"siblings": 3}', b'{"siblings": [{"rfilename": 3}]}'])
def test_an_answer_that_makes_no_sense_is_told_as_one(body: bytes, hub: HubServer) -> None:
    answer = Answer(200, {"Content-Type": "application/json"}, body)
    hub.routes = (Route("GET", r"/api/datasets/.*", lambda request: answer), *hub.routes)
    with pytest.raises(SourceError, match="makes no sense"):
        look_up(f"hub:{NAME}")


def test_names_that_lead_out_of_a_folder_are_never_fetched(hub: HubServer) -> None:
    hub.add("datasets/org/evil", {"../train.jsonl": jsonl(TRAIN)})
    with pytest.raises(SourceError, match="has no such file"):
        look_up("hub:org/evil")


def test_a_table_without_its_reader_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="takes pyarrow") as refused:
        look_up(str(tmp_path / "a.parquet"))
    assert "pip install pyarrow" in refused.value.hint


def test_a_table_gives_its_texts_or_conversations(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": [1, 2, 3], "text": ["one", None, "two"]}), tmp_path / "a.parquet")
    assert list(table(tmp_path / "a.parquet", "a").items) == ["one", "two"]
    parquet.write_table(arrow.table({"messages": [CHATS["messages"]]}), tmp_path / "b.parquet")
    assert list(table(tmp_path / "b.parquet", "b").items) == [tuple(CHATS["messages"])]
    parquet.write_table(arrow.table({"image": [1]}), tmp_path / "c.parquet")
    with pytest.raises(SourceError, match="but 'image'"):
        table(tmp_path / "c.parquet", "c")
    (tmp_path / "d.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    with pytest.raises(SourceError, match="cannot be read"):
        table(tmp_path / "d.parquet", "d")
