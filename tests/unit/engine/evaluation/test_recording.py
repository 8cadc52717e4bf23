"""What was measured goes into the result's record, and nothing else of it changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import WriteError
from qtquant_app.core.evaluated import MOST, evaluations_of
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluate import evaluate
from qtquant_app.engine.evaluation.recording import record_evaluation, with_evaluation
from qtquant_app.engine.record import read_record
from qtquant_app.engine.verify import verify
from tests.driving import quantize, result

WORDS = {"seqlen": 32, "device": "cpu"}


def test_the_record_keeps_it_and_verifies_as_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    quantize("sample", out, parse_label("W4 g32 sym"))
    before = (out / "qtquant.json").read_bytes()
    found = result(evaluate(out, "sample", windows=2, record=False, **WORDS))  # type: ignore[arg-type]
    assert (out / "qtquant.json").read_bytes() == before
    result(evaluate(out, "sample", windows=2, **WORDS))  # type: ignore[arg-type]
    once = (out / "qtquant.json").read_bytes()
    result(evaluate(out, "sample", windows=2, **WORDS))  # type: ignore[arg-type]
    assert (out / "qtquant.json").read_bytes() == once, "the same samples again give the same record"
    result(evaluate(out, "sample", windows=1, **WORDS))  # type: ignore[arg-type]
    record = json.loads((out / "qtquant.json").read_bytes())
    first, second = record.pop("evaluations")
    assert record == json.loads(before)
    assert (first["windows"], second["windows"]) == (2, 1)
    assert first["kl"] == pytest.approx(found.kl)
    assert str(tmp_path) not in once.decode(), "nothing of this machine"
    read = evaluations_of(read_record(out))
    assert [one.kl for one in read] == [first["kl"], second["kl"]]
    assert read[0].base_perplexity == pytest.approx(found.base_perplexity)
    assert result(verify(out, "sample")).ok


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), values, max_size=5), st.sampled_from([None, 1, "\t"]), st.text(max_size=5))
def test_any_record_keeps_all_it_held(record: dict[str, object], indent: int | str | None, text: str) -> None:
    record.pop("evaluations", None)
    written = json.dumps(record, indent=indent).encode()
    for count in range(1, 4):
        written = with_evaluation(written, {"text": text, "windows": count})
        found = json.loads(written)
        assert [one["windows"] for one in found.pop("evaluations")] == list(range(1, count + 1))
        assert found == record
    again = with_evaluation(written, {"text": text, "windows": 2, "kl": 0.5})
    assert [one["windows"] for one in json.loads(again)["evaluations"]] == [1, 3, 2]


def test_no_more_are_kept_than_are_read() -> None:
    record = b'{"plan": {}}'
    for count in range(MOST + 5):
        record = with_evaluation(record, {"windows": count})
    kept = json.loads(record)["evaluations"]
    assert [one["windows"] for one in kept] == list(range(5, MOST + 5))


@pytest.mark.parametrize("record", [b"", b"[]", b'{"a": 1', b'{"a": 1} x', b"\xff"])
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError):
        with_evaluation(record, {"windows": 1})


def test_a_record_that_cannot_be_written_is_named_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    quantize("sample", out, parse_label("W4 g32 sym"))
    found = result(evaluate(out, "sample", windows=1, record=False, **WORDS))  # type: ignore[arg-type]
    before = (out / "qtquant.json").read_bytes()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qtquant_app.engine.evaluation.recording.write_file", full)
    with pytest.raises(WriteError, match=r"qtquant\.json"):
        record_evaluation(out, found)
    assert (out / "qtquant.json").read_bytes() == before
