"""Which data a method looks at, as plans and jobs keep it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.calibration import MOST_SAMPLES, MOST_TOKENS, Calibration, SampleShown, SamplesReport
from qtquant_app.core.errors import QtQuantError, UsageError
from qtquant_app.core.job import JobOptions, JobRecord, new_job
from qtquant_app.core.recipe import Recipe

CALIBRATIONS = st.builds(
    Calibration,
    source=st.text(min_size=1),
    samples=st.integers(1, 1024),
    length=st.integers(1, 4096),
    chat=st.booleans(),
    seed=st.integers(0, 1 << 40),
    sha256=st.sampled_from(["", "ab" * 32]),
)


@settings(deadline=None, max_examples=50)
@given(CALIBRATIONS)
def test_it_comes_back_from_json_as_it_was(calibration: Calibration) -> None:
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert Calibration().to_json() == {}
    assert Calibration(samples=8, chat=True).to_json() == {"samples": 8, "chat": True}


@pytest.mark.parametrize(
    "data",
    [[], None, {"samples": "8"}, {"samples": True}, {"chat": "yes"}, {"source": 3}, {"length": -1}, {"mad": 1}, {1: 2}],
)
def test_what_is_no_calibration_is_refused(data: object) -> None:
    with pytest.raises((ValueError, UsageError)):
        Calibration.from_json(data)


@pytest.mark.parametrize(
    "words",
    [
        {"samples": 0},
        {"samples": MOST_SAMPLES + 1},
        {"length": 0},
        {"samples": 2, "length": MOST_TOKENS // 2 + 1},
        {"source": ""},
    ],
)
def test_counts_out_of_range_are_refused(words: dict[str, int]) -> None:
    with pytest.raises(UsageError) as refused:
        Calibration(**words)  # type: ignore[arg-type]
    assert refused.value.hint and refused.value.code == "calibration"


@settings(deadline=None, max_examples=50)
@given(st.one_of(st.none(), CALIBRATIONS))
def test_a_job_keeps_it_so_that_a_resumed_one_has_it(calibration: Calibration | None) -> None:
    job = new_job("model", "model", Recipe(), JobOptions("out", calibration=calibration), 0.0)
    assert JobRecord.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_job_of_before_has_none_and_a_spoilt_one_is_refused() -> None:
    written = new_job("model", "model", Recipe(), JobOptions("out"), 0.0).to_json()
    older = {**written, "options": {key: value for key, value in written["options"].items() if key != "calibration"}}
    assert JobRecord.from_json(older).options.calibration is None
    with pytest.raises(QtQuantError):
        JobRecord.from_json({**written, "options": {**written["options"], "calibration": {"samples": []}}})


def test_a_report_is_plain_json() -> None:
    report = SamplesReport(
        "default", "a text", "text", 1, 64, 5, 5, 5, shown=(SampleShown("a", 5, {"input_ids": (1, 5)}),)
    )
    read = json.loads(json.dumps(replace(report, sha256="ab").to_json()))
    assert read["shown"] == [{"text": "a", "tokens": 5, "shapes": {"input_ids": [1, 5]}}] and read["kind"] == "text"
