from __future__ import annotations

from math import inf

import numpy as np
import pytest

from qtquant_app.quant.chunk import (
    NonFinite,
    RowErrors,
    ScaleOverflow,
    as_float32,
    checked,
    first_non_finite,
    row_bytes,
)
from tests.unit.quant.cases import raw_of


def errors(*square: float) -> RowErrors:
    values = np.array(square)
    return RowErrors(values, 2 * values, 3 * values, np.sqrt(values).astype(np.float32))


def test_sums_over_rows_are_exactly_rounded_whatever_the_order() -> None:
    rows = [1e16, 1.0, -1e16, 1e-3]
    assert errors(*np.abs(rows)).sums(4).square_error == errors(*np.abs(rows)[::-1]).sums(4).square_error
    parts = RowErrors(np.array(rows), np.array(rows), np.array(rows), np.zeros(4, np.float32))
    assert parts.sums(4).square_error == 1.001


def test_sums_count_weights_and_keep_the_largest_error() -> None:
    sums = errors(4.0, 9.0).sums(10)
    assert (sums.weights, sums.square_error, sums.square_weight, sums.square_dequantized) == (20, 13.0, 26.0, 39.0)
    assert sums.max_error == 3.0


def test_sums_that_leave_the_floats_are_infinite() -> None:
    for rows in ([1.7e308, 1.7e308], [inf, 1.0]):
        values = np.array(rows)
        assert RowErrors(values, values, values, np.zeros(2, np.float32)).sums(1).square_error == inf


def test_no_rows_at_all_have_no_error() -> None:
    assert RowErrors.concat([]).sums(8).max_error == 0.0


def test_concatenated_rows_stay_in_order() -> None:
    joined = RowErrors.concat([errors(1.0), errors(4.0, 9.0)])
    assert joined.square_error.tolist() == [1.0, 4.0, 9.0]
    assert joined.max_error.dtype == np.float32


@pytest.mark.parametrize(
    ("columns", "bits", "align", "expected"), [(1, 2, 1, 1), (8, 3, 1, 3), (9, 3, 1, 4), (9, 3, 4, 4), (33, 4, 4, 20)]
)
def test_row_bytes_round_up_to_bytes_and_then_to_the_alignment(
    columns: int, bits: int, align: int, expected: int
) -> None:
    assert row_bytes(columns, bits, align) == expected


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_dtype_becomes_float32_exactly(dtype: str) -> None:
    values = np.array([[0.0, -0.0, 1.5, -(2.0**-14)]], np.float32)
    assert as_float32(raw_of(values, dtype), dtype).tobytes() == values.tobytes()


def test_an_array_of_another_kind_is_refused_with_its_dtype() -> None:
    good = np.zeros((2, 4), np.float32)
    assert checked(good, "F32") is good
    for bad, dtype in ((good, "BF16"), (good[:, ::2], "F32"), (good[0], "F32"), (good, "I8")):
        with pytest.raises(ValueError, match=dtype):
            checked(bad, dtype)


def test_the_first_value_that_is_not_finite_is_named_row_by_row() -> None:
    values = np.zeros((3, 4), np.float32)
    values[1, 2], values[2, 0] = -np.inf, np.nan
    found = first_non_finite(values, "F32")
    assert (found.row, found.column, found.value) == (1, 2, -inf)
    assert first_non_finite(values, "F32", row=2).row == 2
    assert "row 1, column 2" in str(NonFinite(1, 2, inf))
    assert "row 7" in str(ScaleOverflow(7))


def test_a_search_for_a_value_that_is_not_there_fails() -> None:
    with pytest.raises(ValueError, match="finite"):
        first_non_finite(np.zeros((1, 1), np.float32), "F32")
