from __future__ import annotations

from dataclasses import replace

import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.methods import Method, check, find, registry, steps


def test_the_methods_are_found_by_name_with_what_a_menu_needs() -> None:
    assert list(registry()) == ["rtn", "mse", "hqq", "gptq", "awq", "smoothquant", "learned"]
    for name, method in registry().items():
        assert find(name) is method and method.name == name
        assert method.title and method.description.endswith(".") and method.formula
        assert method.needs_calibration == (name not in ("rtn", "mse", "hqq"))
        assert steps(name)[method.stage == "rounding"] == name


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


def test_a_folding_and_a_rounding_make_one_method_that_refuses_what_either_does() -> None:
    both = check(Scheme(method="awq+gptq"))
    assert both.name == "awq+gptq" and find("awq+gptq") is both
    assert [part.name for part in both.parts] == ["awq", "gptq"] and steps("awq+gptq") == ("awq", "gptq")
    assert both.needs_calibration and both.factors == find("mse").factors and both.strategies == ("channel", "group")
    eight = Scheme(bits=8, strategy="channel", group_size=None, activations="int8", method="smoothquant+gptq")
    assert check(eight).start == "mse"
    whole = replace(eight, strategy="tensor")
    with pytest.raises(UsageError, match="per tensor") as caught:
        check(whole)
    assert "--strategy channel or group" in caught.value.hint
    assert check(replace(whole, method="smoothquant")).start == "rtn"
    with pytest.raises(UsageError, match="activations are not quantized") as caught:
        check(Scheme(method="smoothquant+gptq"))
    assert "--activations" in caught.value.hint


@pytest.mark.parametrize("name", ["gptq+awq", "awq+smoothquant", "gptq+mse", "awq+awq+gptq", "awq+gptq+mse"])
def test_methods_that_do_not_follow_each_other_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a folding and then a rounding") as caught:
        find(name)
    assert "awq+gptq" in caught.value.hint


@pytest.mark.parametrize("name", ["", "+", "awq+", "+gptq", "awq+guess", "awq + gptq", "AWQ", "rtn+" * 100_000])
def test_what_is_no_name_of_a_method_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not one of rtn, mse") as caught:
        find(name)
    assert len(caught.value.message) < 500


def test_floating_point_codes_and_blocks_are_refused_by_what_cannot_find_them() -> None:
    float8 = Scheme(bits=8, type="float", strategy="channel", group_size=None, activations="fp8")
    for scheme, refused in (
        (float8, {"hqq", "gptq", "awq", "learned", "awq+gptq", "smoothquant+gptq"}),
        (Scheme.of_layout("Q4_K"), {"hqq", "smoothquant", "smoothquant+gptq"}),
        (Scheme(), {"smoothquant", "smoothquant+gptq"}),
    ):
        names = [*registry(), "awq+gptq", "smoothquant+gptq"]
        assert {name for name in names if find(name).refuses(scheme)} == refused
        for name in refused:
            with pytest.raises(UsageError, match="does not work") as caught:
                check(replace(scheme, method=name))
            assert "--method rtn" in caught.value.hint


def test_a_folding_alone_is_followed_by_the_rounding_that_goes_with_it() -> None:
    assert steps("awq") == ("awq", "mse") and steps("smoothquant") == ("smoothquant", "rtn")
    for name in registry():
        begun = find(find(name).start)
        assert not begun.needs_calibration and (find(name).factors, find(name).shrinks) == (
            begun.factors,
            begun.shrinks,
        )


def test_what_a_preview_shows_of_a_calibrated_method_is_said_to_be_its_start() -> None:
    assert not find("mse").preview_note()
    assert "Clip search" in find("awq+gptq").preview_note() and "GPTQ" in find("awq+gptq").preview_note()
    assert "Round to nearest" in find("smoothquant").preview_note()
