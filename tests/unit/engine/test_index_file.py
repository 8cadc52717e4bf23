"""What is made of an index: the files it names, however many tensors are in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import SourceError
from qtquant_app.engine import index_file
from qtquant_app.engine.index_file import named_files
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, small_llama

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(TEXTS, TEXTS, max_size=40),
    st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}]),
    st.integers(1, 5),
)
def test_each_file_is_named_once(
    tmp_path: Path, weight_map: dict[str, str], style: dict[str, Any], at_once: int
) -> None:
    document = {"metadata": {"total_size": 3, "deep": [[{}]]}, "weight_map": weight_map, "more": None}
    (tmp_path / "x.json").write_text(json.dumps(document, **style), encoding="utf-8")
    pairs = index_file.pairs_of(at_once)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_file, "_PAIRS", pairs)
        assert named_files(tmp_path / "x.json") == list(dict.fromkeys(weight_map.values()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"weight_map": {"a": "x", "b": 1, "c": "x"}}', "names a shard by 1,"),
        ('{"weight_map": {"a": "x", }}', "is not JSON"),
        ('{"weight_map": {"a": "x" "b": "x"}}', "is not JSON"),
        ('{"weight_map": {"a": "x"}', "is not JSON"),
        ('{"weight_map": {"a": "x"}} x', "is not JSON"),
        ('{"weight_map": {"a": "\\ud800"}}', "is not JSON"),
        ('{"weight_map": {"a": "' + "x" * 20_000 + '"}}', "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(SourceError, match=says):
        named_files(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["{}", '{"weight_map": {}}', '{"weight_map": []}', '{"weight_map": null}'])
def test_an_index_without_a_map_names_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert named_files(tmp_path / "x.json") == []


def test_more_files_than_any_checkpoint_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "MOST_FILES", 3)
    (tmp_path / "x.json").write_text(json.dumps({"weight_map": {str(at): str(at % 3) for at in range(50)}}))
    assert named_files(tmp_path / "x.json") == ["0", "1", "2"]
    (tmp_path / "x.json").write_text(json.dumps({"weight_map": {str(at): str(at) for at in range(50)}}))
    with pytest.raises(SourceError, match="more than 3 files"):
        named_files(tmp_path / "x.json")


def test_a_config_may_be_as_long_as_the_weights_beside_it_allow(tmp_path: Path) -> None:
    folder = small_llama(tmp_path / "model")
    weights = sum(file.stat().st_size for file in folder.iterdir())
    long = {**LLAMA_CONFIG, "ignored": ["x" * 40] * 1_000}
    assert len(json.dumps(long)) > max(32_000, weights // 24)
    (folder / "config.json").write_text(json.dumps(long))
    with pytest.raises(SourceError, match="more than any such file needs"):
        open_checkpoint(folder)
    (folder / "more.bin").write_bytes(bytes(24 * len(json.dumps(long))))
    assert open_checkpoint(folder).config == long
