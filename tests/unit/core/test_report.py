"""Error measures from sums."""

from __future__ import annotations

import json
from math import inf

from qtquant_app.core.report import ErrorSums


def test_measures_of_an_infinite_error_are_told_and_never_raise() -> None:
    sums = ErrorSums(4, inf, 1e77, inf, inf)
    assert (sums.sqnr_db, sums.relative_error, sums.cosine) == (-inf, inf, 0.0)
    assert json.loads(json.dumps(sums.to_json(), allow_nan=False)) == {
        "mse": None,
        "sqnr_db": None,
        "relative_error": None,
        "max_error": None,
        "cosine": 0.0,
    }


def test_nothing_lost_of_nothing_is_lossless() -> None:
    sums = ErrorSums(4, 0.0, 0.0, 0.0, 0.0)
    assert (sums.sqnr_db, sums.relative_error, sums.cosine, sums.mse) == (inf, 0.0, 1.0, 0.0)


def test_an_error_beyond_all_proportion_has_no_signal_left() -> None:
    assert ErrorSums(1, 1e300, 1e-40, 1e300, 1e150).sqnr_db == -inf
