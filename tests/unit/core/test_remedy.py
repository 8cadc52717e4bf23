"""Remedies: which steps there are from a scheme, and what their figures say."""

from __future__ import annotations

from math import inf

import pytest

from qtquant_app.core.quantities import gain_text, more_text
from qtquant_app.core.remedy import Alternative, Remedy, alternatives, combinations, gain, smaller_groups, together
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme

BITS, CLIPS = (2, 3, 4, 5, 6, 7, 8), ("channel", "group")
CHANNEL = Scheme(strategy="channel", group_size=None)
INT8 = Scheme(bits=8, strategy="channel", group_size=None, activations="int8")


def sums(square_error: float) -> ErrorSums:
    return ErrorSums(100, square_error, 1.0, 1.0, 0.1)


def steps(scheme: Scheme, columns: int = 4096, bits: tuple[int, ...] = BITS) -> dict[str, Scheme]:
    return {step.title: step.scheme for step in alternatives(scheme, columns, bits, CLIPS)}  # type: ignore[arg-type]


def test_each_step_turns_one_knob_and_the_slow_ones_come_last() -> None:
    assert steps(Scheme()) == {
        "groups of 64": Scheme(group_size=64),
        "groups of 32": Scheme(group_size=32),
        "asymmetric": Scheme(symmetric=False),
        "5 bits": Scheme(bits=5),
        "MSE clip": Scheme(method="mse"),
    }


def test_a_channel_gets_groups_and_a_tensor_no_clip_search() -> None:
    assert smaller_groups(CHANNEL, 4096) == (128, 32)
    assert "MSE clip" in steps(CHANNEL)
    assert "MSE clip" not in steps(Scheme(strategy="tensor", group_size=None))


@pytest.mark.parametrize(("columns", "sizes"), [(576, (64, 32)), (4096, (128, 32)), (100, (32,)), (48, (16,))])
def test_groups_divide_the_row_where_they_can(columns: int, sizes: tuple[int, ...]) -> None:
    assert smaller_groups(CHANNEL, columns) == sizes


def test_groups_get_no_smaller_than_their_scales_are_worth() -> None:
    assert smaller_groups(Scheme(group_size=16), 4096) == (8,)
    assert smaller_groups(Scheme(group_size=8), 4096) == ()


def test_the_next_width_is_one_that_the_format_stores() -> None:
    assert steps(Scheme(), bits=(2, 4, 8))["8 bits"] == Scheme(bits=8)
    assert not any("bits" in title for title in steps(Scheme(bits=8)))


def test_int8_activations_leave_the_method_alone_to_choose() -> None:
    assert list(steps(INT8)) == ["MSE clip"]
    assert steps(Scheme(method="mse"))["asymmetric"] == Scheme(method="mse", symmetric=False)


def test_two_steps_are_done_at_once_unless_they_turn_the_same_knob() -> None:
    half, quarter, other, wider, clip = alternatives(Scheme(), 4096, BITS, CLIPS)  # type: ignore[arg-type]
    assert together(Scheme(), half, wider).scheme == Scheme(bits=5, group_size=64)
    with pytest.raises(ValueError, match="same knob"):
        together(Scheme(), half, quarter)
    found = combinations(Scheme(), [quarter, half, wider, clip], [clip, quarter, other])
    assert [both.title for both in found] == ["groups of 32, 5 bits", "MSE clip, groups of 32"]
    assert combinations(Scheme(), [clip, other], [other, clip])[0].scheme == Scheme(symmetric=False, method="mse")
    assert len(combinations(Scheme(), [clip, other], [other, clip])) == 1
    assert combinations(Scheme(), [half], [quarter, half], []) == ()


def test_an_alternative_can_be_a_key() -> None:
    first: Alternative = alternatives(Scheme(), 4096, BITS, CLIPS)[0]  # type: ignore[arg-type]
    assert {first: 1}[first] == 1


def test_the_gain_of_losing_nothing_is_without_bounds_unless_nothing_was_lost() -> None:
    assert gain(sums(0.0), sums(0.01)) == inf
    assert gain(sums(0.0), sums(0.0)) == 0.0
    assert gain(sums(0.01), sums(0.1)) == pytest.approx(10.0)


def test_a_remedy_says_what_a_million_bytes_buy() -> None:
    remedy = Remedy("asymmetric", Scheme(symmetric=False), 3_000_000, 2_000_000, sums(0.01), 3.0, sums(0.02))
    assert remedy.db_per_megabyte == 1.5
    assert remedy.to_json()["tensor"]["mse"] == 0.0002
    free = Remedy("MSE clip", Scheme(method="mse"), 3_000_000, 0, sums(0.01), 3.0, sums(0.02))
    assert free.db_per_megabyte is None
    kept = Remedy("keep it", "keep", 9, 8, sums(0.0), inf, sums(0.0))
    assert (kept.label, kept.db_per_megabyte, kept.to_json()["gain_db"]) == ("keep", None, None)


def test_differences_show_their_sign() -> None:
    assert [gain_text(value) for value in (1.214, -0.5, inf)] == ["+1.21 dB", "\u22120.50 dB", "all of it"]
    assert [more_text(count) for count in (110_592, -812, 0)] == ["+111 kB", "\u2212812 B", "0 B"]


def test_errors_of_parts_add_up_whatever_their_order() -> None:
    parts = [ErrorSums(1, 0.1 * k, 1e16 / k, 1e-9, 0.5 * k) for k in range(1, 30)]
    assert ErrorSums.added(parts) == ErrorSums.added(reversed(parts))
    assert ErrorSums.added(parts).weights == 29 and ErrorSums.added(parts).max_error == 14.5


def test_a_block_type_gets_the_next_wider_ones_that_fill_a_row() -> None:
    found = alternatives(Scheme.of_layout("Q4_K"), 512, (4,), ("group",))
    assert [step.scheme.layout for step in found] == ["Q4_1", "Q5_0"]
    assert found[0].scheme == Scheme.from_json(dict(found[0].changes))
    odd = alternatives(Scheme.of_layout("Q5_0"), 96, (4,), ("group",))
    assert [step.title for step in odd] == ["Q5_1", "Q8_0"]
    assert alternatives(Scheme.of_layout("BF16"), 96, (4,), ("group",)) == ()


def test_codes_with_float_offsets_stay_asymmetric() -> None:
    scheme = Scheme(4, group_size=64, symmetric=False, offset="float")
    assert all(not step.scheme.symmetric for step in alternatives(scheme, 512, (4, 8), ("group",)))
