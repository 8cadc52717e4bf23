from __future__ import annotations

import pytest
from hypothesis import given

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from tests.unit.quant.cases import schemes


@given(schemes(methods=("rtn", "mse", "hqq", "awq+gptq")))
def test_a_label_reads_back_as_its_scheme(scheme: Scheme) -> None:
    assert parse_label(scheme.label) == scheme
    assert parse_label(f"  {scheme.label.upper().replace(' ', '   ')} ") == scheme


def test_labels_with_activations_read_back_too() -> None:
    scheme = Scheme(bits=8, strategy="channel", group_size=None, activations="int8")
    assert parse_label("W8 ch sym A8") == scheme and scheme.label == "W8 ch sym A8"
    assert parse_label("W8 ch sym mse A8").method == "mse"
    assert len({parse_label(scheme.label) for scheme in DEFAULT_SCHEMES}) == 6


@pytest.mark.parametrize("text", ["", "W4", "4 g128 sym", "W4 g sym", "W4 g128", "W4 g128 sym mse rtn", "W4 g128 sym;"])
def test_what_is_no_label_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_label(text)
    assert repr(text) in refused.value.message and "W4 g128 sym" in refused.value.hint


@pytest.mark.parametrize("text", ["W9 g128 sym", "W4 g0 sym", "W4 g128 sym A8"])
def test_a_label_of_a_scheme_that_cannot_be_is_refused_as_the_scheme_is(text: str) -> None:
    with pytest.raises(UsageError, match=r"bits|group size|8-bit"):
        parse_label(text)
