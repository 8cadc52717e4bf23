"""Progress counted from events."""

from __future__ import annotations

import pytest

from qtquant_app.core.events import Calibrated, ChunkDone, Fetched, RunStarted, StageChanged, TensorKept
from qtquant_app.gui.pages.run import progress_words
from qtquant_app.gui.progress import WINDOW_SECONDS, ProgressMeter


def started(total: int = 1000) -> ProgressMeter:
    meter = ProgressMeter(100.0)
    meter.add([RunStarted(10, total)], 100.0)
    return meter


def test_bytes_rate_and_time_left_follow_from_the_chunks() -> None:
    progress = started().add([StageChanged("quantize"), ChunkDone("a", 200), ChunkDone("a", 50)], 102.5)
    assert (progress.bytes_done, progress.fraction, progress.stage) == (250, 0.25, "quantize")
    assert progress.rate == pytest.approx(100)
    assert progress.seconds_left == pytest.approx(7.5)


def test_nothing_is_promised_before_there_is_something_to_judge_by() -> None:
    progress = started().add([], 100.1)
    assert progress.rate is None
    assert progress.seconds_left is None


def test_paused_time_counts_neither_as_elapsed_nor_against_the_rate() -> None:
    meter = started()
    meter.add([ChunkDone("a", 100)], 101.0)
    meter.pause(101.0)
    assert meter.at(500.0).elapsed == pytest.approx(1.0)
    meter.resume(501.0)
    assert meter.add([ChunkDone("a", 100)], 502.0).rate == pytest.approx(100)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = started(10_000)
    for second in range(1, 10):
        meter.add([ChunkDone("a", 10)], 100.0 + second)
    for second in range(10, 10 + 2 * int(WINDOW_SECONDS)):
        progress = meter.add([ChunkDone("a", 100)], 100.0 + second)
    assert progress.rate == pytest.approx(100, rel=0.05)


def test_a_resumed_run_starts_with_what_was_done_before() -> None:
    meter = ProgressMeter(0.0)
    progress = meter.add([RunStarted(10, 100, 4), TensorKept("a", 1)], 1.0)
    assert (progress.tensors_done, progress.tensors_total) == (5, 10)


def test_calibration_counts_in_steps_and_names_its_block_and_bytes_begin_anew() -> None:
    meter = ProgressMeter(0.0)
    meter.add([StageChanged("calibrate"), Calibrated(0, 8000, "model.layers.0")], 0.0)
    progress = meter.add([Calibrated(2000, 8000, "model.layers.1")], 4.0)
    assert (progress.fraction, progress.text, progress.seconds_left) == (0.25, "model.layers.1", pytest.approx(12))
    progress = meter.add([RunStarted(10, 1000), ChunkDone("a", 100)], 5.0)
    assert (progress.fraction, progress.text, progress.rate) == (0.1, "", None)


def test_more_bytes_than_were_announced_are_still_no_more_than_all() -> None:
    assert started(10).add([ChunkDone("a", 50)], 101.0).fraction == 1.0
    assert ProgressMeter(0.0).at(1.0).fraction == 0.0


def test_what_is_fetched_is_told_beside_the_bytes_until_all_is_here() -> None:
    meter = ProgressMeter(0.0)
    progress = meter.add([Fetched("a.safetensors", 25_000_000, 100_000_000, 5e6, 15.0)], 1.0)
    assert progress.fetched == "fetched 25% of 100 MB, 5.00 MB/s, 15 s left"
    assert progress.fetched in progress_words(progress)
    assert not meter.add([Fetched("a.safetensors", 100_000_000, 100_000_000, 5e6, 0.0)], 2.0).fetched
