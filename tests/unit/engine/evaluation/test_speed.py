"""The speed of a result of the plain format is measured where it is loaded; of others nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluate import evaluate
from qtquant_app.engine.evaluation import speed as measuring
from tests.driving import quantize, result

WORDS = {"windows": 1, "seqlen": 32, "device": "cpu", "record": False, "speed": True}


def test_both_models_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "READ", 16)
    monkeypatch.setattr(measuring, "WRITTEN", 4)
    clock = iter(range(10_000))
    monkeypatch.setattr(measuring, "perf_counter", lambda: float(next(clock)))
    quantize("sample", tmp_path / "out", parse_label("W4 g32 sym"), format="qtquant")
    speed = result(evaluate(tmp_path / "out", "sample", **WORDS)).speed  # type: ignore[arg-type]
    assert speed is not None
    assert (speed.reading, speed.base_reading, speed.writing, speed.base_writing) == (16, 16, 4, 4)
    assert speed.to_json()["runtime"] == "qtquant_app.load"


def test_of_another_format_no_speed_is_made_up(tmp_path: Path) -> None:
    quantize("sample", tmp_path / "out", parse_label("W4 g32 sym"))
    with pytest.raises(UsageError, match="that of the runtime that loads it"):
        result(evaluate(tmp_path / "out", "sample", **WORDS))  # type: ignore[arg-type]
