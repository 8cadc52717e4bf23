"""Readers of what is published, or was being published: each as one function of bytes, and good files for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qtquant_app.core.card_text import card_text, edited
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.publish.base_model import README, describe_base, licence_of
from qtquant_app.engine.publish.base_model import card_head as head_in
from qtquant_app.engine.publish.card import make_card
from qtquant_app.engine.publish.state import Unfinished, unfinished
from qtquant_app.engine.publish.state import folder as uploads_folder
from qtquant_app.engine.record import read_record
from qtquant_app.engine.verify import result_plan
from tests.fuzz import samples


def card(data: bytes, folder: Path) -> object:
    """The card of a result whose record somebody else may have made, the network left aside."""
    (folder / "qtquant.json").write_bytes(data)
    plan, record = result_plan(folder), read_record(folder)
    base, _ = describe_base(None, {"source": str(record.get("source"))})
    made = make_card(record, plan, base)
    text = card_text(made)
    assert not edited(text)
    return text, json.dumps(made.to_json(), allow_nan=False)


def card_head(data: bytes, folder: Path) -> object:
    """A base's card: what it does not state in a way that makes sense is not known."""
    (folder / README).write_bytes(data)
    found = licence_of(head_in(folder / README))
    if not found.known:
        raise SourceError("no licence")
    return found


def upload(data: bytes, folder: Path) -> object:
    """The state of an upload that was stopped."""
    uploads_folder().mkdir(parents=True, exist_ok=True)
    (uploads_folder() / "x.json").write_bytes(data)
    found = unfinished()
    if not found:
        raise SourceError("it is none")
    return [one.key for one in found], [one.to_json() for one in found]


def records() -> Sequence[bytes]:
    record = json.loads(samples.records()[0])
    evaluations = [{"text": "a", "tokens": 3, "base": {"perplexity": 2.5}, "quantized": {"perplexity": 3}, "kl": 0.1}]
    return (*samples.records(), json.dumps({**record, "evaluations": evaluations}).encode())


def heads() -> Sequence[bytes]:
    return (
        b"---\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n# A\n",
        b"---\r\ntags: [a, b]\r\nlicense:\r\n- mit\r\n- bsd\r\n---\r\n",
        b"\xef\xbb\xbf---\nlicense: other\nlicense_name: 'n: x'\nlicense_link: https://a.b/c\n---\n",
    )


def uploads() -> Sequence[bytes]:
    one = Unfinished("http://a", "org/name", "", False, "/out", (("a", "0" * 64),), frozenset({"0" * 64}), True)
    return (json.dumps(one.to_json()).encode(),)
