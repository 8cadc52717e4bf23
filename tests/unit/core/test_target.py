"""What a budget can be: one of five things, each a positive number or a scheme, said in words."""

from __future__ import annotations

from typing import Any

import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Memory, Target

EACH: dict[str, Any] = {
    "bytes": 4_200_000_000,
    "bits_per_weight": 3.5,
    "memory": Memory(8_000_000_000, sequences=4),
    "error": 0.25,
    "like": Scheme(group_size=64),
}
TEXTS = {
    "bytes": "4.20 GB (4,200,000,000 bytes)",
    "bits_per_weight": "3.5 bits per weight",
    "memory": "8.00 GB of memory with 8,192 tokens of context for each of 4 sequences",
    "error": "a predicted error of at most 0.25",
    "like": "as good as W4 g64 sym for all",
}


@pytest.mark.parametrize("name", EACH)
def test_a_target_says_what_it_is_in_words_and_in_json(name: str) -> None:
    target = Target(**{name: EACH[name]})
    assert target.text == TEXTS[name]
    document = target.to_json()
    assert set(document) == set(EACH)
    assert [key for key, value in document.items() if value is not None] == [name]


@pytest.mark.parametrize("other", [name for name in EACH if name != "bytes"])
def test_two_targets_at_once_are_refused(other: str) -> None:
    with pytest.raises(UsageError, match="one of them"):
        Target(bytes=5, **{other: EACH[other]})


@pytest.mark.parametrize("error", [0.0, -1.0, float("nan"), float("inf"), True])
def test_a_quality_is_a_positive_number(error: float) -> None:
    with pytest.raises(UsageError, match="no budget"):
        Target(error=error)
