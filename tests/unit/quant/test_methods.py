from __future__ import annotations

import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.methods import Method, check, find, registry


def test_the_methods_are_found_by_name_with_what_a_menu_needs() -> None:
    assert list(registry()) == ["rtn", "mse"]
    for name, method in registry().items():
        assert find(name) is method and method.name == name
        assert method.title and method.description.endswith(".") and method.formula
        assert not method.needs_calibration


def test_the_clip_search_tries_forty_factors_downwards_with_one_among_them() -> None:
    factors = find("mse").factors
    assert (factors[0], factors[1], factors[-1], len(factors)) == (1.08, 1.06, 0.3, 40)
    assert 1.0 in factors and sorted(factors, reverse=True) == list(factors)


def test_an_unknown_method_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="'guess' is not one of rtn, mse"):
        check(Scheme(method="guess"))


def test_the_clip_search_is_refused_for_one_scale_over_the_tensor() -> None:
    with pytest.raises(UsageError, match="per tensor") as caught:
        check(Scheme(method="mse", strategy="tensor", group_size=None))
    assert "--strategy channel or group" in caught.value.hint
    assert check(Scheme(strategy="tensor", group_size=None)).name == "rtn"


def test_two_methods_may_not_share_a_name() -> None:
    with pytest.raises(TypeError, match="'rtn'"):
        type("Again", (Method,), {"name": "rtn"})
