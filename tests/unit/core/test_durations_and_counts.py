"""Rates, times and counts as text."""

from __future__ import annotations

from math import inf, nan

import pytest

from qtquant_app.core.quantities import NOTHING, duration_text, parameters_text, plural, rate_text, share_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (None, NOTHING),
        (inf, NOTHING),
        (nan, NOTHING),
    ],
)
def test_a_time_has_two_figures_that_matter(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(512, "512"), (999, "999"), (3_540_000, "3.54 M"), (33_600_000, "33.6 M"), (1_100_048_384, "1.10 B")],
)
def test_a_number_of_weights_is_short(count: int, text: str) -> None:
    assert parameters_text(count) == text


def test_rates_shares_and_plurals() -> None:
    assert rate_text(812e6) == "812 MB/s"
    assert rate_text(None) == NOTHING
    assert share_text(1, 8) == "12.5 %"
    assert share_text(1, 0) == NOTHING
    assert (plural(1, "file"), plural(2000, "file"), plural(2, "index", "indices")) == (
        "1 file",
        "2,000 files",
        "2 indices",
    )
