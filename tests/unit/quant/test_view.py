"""What the error map shows of each weight, against a plain reckoning in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.quant.chunk import QuantizedChunk, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.kernels.packing import unpack
from qtquant_app.quant.kernels.view import VIEWS, view_cells
from tests.unit.quant.cases import gaussian, raw_of, schemes, weights


def spread(values: NDArray[np.generic], scheme: Scheme, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A value for each group as a value for each weight."""
    wide = np.repeat(np.asarray(values, np.float32), scheme.group_size or shape[1], axis=1)[:, : shape[1]]
    return np.broadcast_to(values.astype(np.float32) if values.shape == (1, 1) else wide, shape)


def plain(
    view: View, raw: NDArray[np.generic], dtype: str, chunk: QuantizedChunk, scheme: Scheme
) -> NDArray[np.float32]:
    """The view of every weight, [rows, columns]."""
    values = as_float32(raw, dtype)
    error = values - CpuBackend().dequantize(chunk, dtype, scheme, raw.shape[1])
    scale = spread(as_float32(chunk.scale, dtype), scheme, values.shape)
    if view is View.SATURATION:
        codes = unpack(chunk.packed, scheme.bits, raw.shape[1])
        outer = (codes == 0) | (codes == scheme.levels - 1)
        return (outer & (np.abs(error) > np.float32(0.5) * scale)).astype(np.float32)
    if view is View.RELATIVE:
        rms = np.sqrt(chunk.errors.square_weight / raw.shape[1]).astype(np.float32)[:, None]
        return np.abs(error) / np.where(rms > 0, rms, np.float32(1))
    zero = np.full((1, 1), scheme.levels // 2) if chunk.zero is None else chunk.zero
    return {
        View.ABSOLUTE: np.abs(error),
        View.SIGNED: error,
        View.SQUARED: error * error,
        View.SCALE: scale,
        View.ZERO: spread(zero, scheme, values.shape),
        View.WEIGHT: values,
    }[view]


@settings(max_examples=200, deadline=None)
@given(weights(), schemes(methods=("rtn",)), st.sampled_from(list(View)), st.data())
def test_a_cell_holds_the_largest_magnitude_and_the_sum_of_its_weights(
    drawn: tuple[NDArray[np.generic], str], scheme: Scheme, view: View, data: st.DataObject
) -> None:
    raw, dtype = drawn
    chunk = CpuBackend().quantize(raw, dtype, scheme, 1)
    count = raw.shape[1]
    columns = np.array(data.draw(st.one_of(st.permutations(range(count)), st.just(range(count // 2, count)))), np.int32)
    down, size = data.draw(st.integers(1, len(raw) + 1)), data.draw(st.integers(1, count + 2))
    extreme, total = view_cells(raw, dtype, chunk, scheme, view, columns, down, size)
    shown = plain(view, raw, dtype, chunk, scheme)[:, columns]
    tops, lefts = range(0, len(raw), down), range(0, len(columns), size)
    assert extreme.shape == total.shape == (len(tops), len(lefts))
    for place in np.ndindex(*extreme.shape):
        part = shown[tops[place[0]] : tops[place[0]] + down, lefts[place[1]] : lefts[place[1]] + size]
        assert abs(extreme[place]) == np.abs(part).max() and extreme[place] in part
        np.testing.assert_allclose(total[place], part.sum(dtype=np.float64), rtol=1e-9, atol=1e-30)


def test_of_two_values_of_one_size_the_positive_one_is_shown() -> None:
    raw = raw_of(np.array([[-3.0, 3.0, 1.0]]), "F32")
    chunk = CpuBackend().quantize(raw, "F32", Scheme(strategy="channel", group_size=None), 1)
    extreme, _ = view_cells(
        raw, "F32", chunk, Scheme(strategy="channel", group_size=None), View.WEIGHT, np.arange(3, dtype=np.int32), 1, 3
    )
    assert extreme.tolist() == [[3.0]]


def test_clipping_shows_as_saturation() -> None:
    raw = gaussian("F32", 8, 512)
    scheme = Scheme(bits=2, group_size=128, method="mse")
    chunk = CpuBackend().quantize(raw, "F32", scheme, 1)
    extreme, total = view_cells(raw, "F32", chunk, scheme, View.SATURATION, np.arange(512, dtype=np.int32), 8, 512)
    assert extreme.max() == 1 and 0 < total.sum() < raw.size / 4


@pytest.mark.parametrize("view", list(View))
def test_every_view_has_a_number_and_words(view: View) -> None:
    assert list(VIEWS).index(view) == VIEWS[view] and view.label and view.formula
