"""Numbers as people read them."""

from __future__ import annotations

from math import inf, nan

import pytest

from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, figure, percent, shape_text, stretch_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (123_456_789, "123 MB"),
        (999_600, "1.00 MB"),
        (4_200_000_000, "4.20 GB"),
        (10**18, "1000 PB"),
    ],
)
def test_bytes_have_three_figures_and_a_unit(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_what_does_not_exist_is_a_dash() -> None:
    assert decibels(nan) == percent(inf) == figure(nan) == NOTHING


def test_no_error_at_all_is_said_in_a_word() -> None:
    assert decibels(inf) == "lossless"
    assert decibels(24.312) == "24.31 dB"


def test_one_index_is_singular_and_several_are_a_range() -> None:
    assert stretch_text("channel", 1200, 1201) == "channel 1,200"
    assert stretch_text("channel", 12, 16) == "channels 12 to 15"


def test_a_scalar_has_a_word_for_its_shape() -> None:
    assert shape_text(()) == "scalar"
    assert shape_text((2, 3)) == "2 \u00d7 3"
