"""Choosing tensors by kind, place, block and error; and the one pattern that then names just those."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.choosing import (
    Wish,
    block_range,
    by_blocks,
    by_error,
    by_kind,
    by_place,
    choosable,
    choose,
    places,
    survey,
)
from qtquant_app.core.errors import UsageError
from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.patterns import matches
from tests.gui.inspect_samples import checkpoint, tensor

LAST = ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")
DENSE = [tensor(f"model.layers.{block}.{name}.weight") for block in range(12) for name in LAST]
EXPERTS = [
    tensor(f"model.layers.{block}.mlp.experts.{expert}.{name}.weight", kind=Kind.EXPERT)
    for block in range(3)
    for expert in range(4)
    for name in ("up_proj", "down_proj")
]
VISION = [tensor(f"vision.blocks.{block}.mlp.up_proj.weight") for block in range(2)]
HEAD = tensor("lm_head.weight", kind=Kind.HEAD)
ALL = (*DENSE, *EXPERTS, *VISION, HEAD)


def names(found: tuple[TensorInfo, ...]) -> list[str]:
    return [tensor.module for tensor in found]


def test_only_what_a_rule_can_be_for_is_there_to_choose() -> None:
    found = checkpoint()
    assert choosable(found) and {t.name for t in choosable(found)} < {t.name for t in found.tensors}
    assert all(t.quantizable for t in choosable(found))


def test_a_kind_chooses_all_of_it_and_an_unknown_one_is_refused_with_the_known_ones() -> None:
    assert by_kind(ALL, "expert") == tuple(EXPERTS) and by_kind(ALL, "head") == (HEAD,)
    assert by_kind(ALL, "norm") == ()
    with pytest.raises(UsageError, match="no kind 'experts'") as refused:
        by_kind(ALL, "experts")
    assert "expert, embedding" in refused.value.hint


def test_a_place_chooses_it_in_every_block_and_of_every_expert() -> None:
    assert names(by_place(DENSE, "mlp.up_proj")) == [f"model.layers.{block}.mlp.up_proj" for block in range(12)]
    assert by_place(ALL, "mlp.experts.*.up_proj") == tuple(EXPERTS[::2])
    assert by_place(ALL, "mlp.up_proj", stack="vision.blocks") == tuple(VISION)
    assert places(ALL)["mlp.up_proj"] == 14 and places(ALL)["mlp.experts.*.down_proj"] == 12
    assert "lm_head" not in places(ALL)


def test_a_place_may_be_a_glob_but_what_is_called_so_exactly_comes_first() -> None:
    assert by_place(DENSE, "mlp.*") == tuple(t for t in DENSE if ".mlp." in t.name)
    inner = tensor("model.layers.0.mlp.experts.shared.0.up_proj.weight")
    assert by_place((*EXPERTS, inner), "mlp.experts.*.up_proj") == tuple(EXPERTS[::2])


def test_a_place_that_is_nowhere_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no 'mlp\.down' in any block") as refused:
        by_place(DENSE, "mlp.down")
    assert "mlp.down_proj" in refused.value.hint
    with pytest.raises(UsageError) as refused:
        by_place([HEAD], "lm_head")
    assert "none of these tensors is in a block" in refused.value.hint


@given(st.integers(0, 11), st.integers(0, 11))
def test_a_range_of_blocks_takes_both_its_ends(one: int, other: int) -> None:
    first, last = sorted((one, other))
    found = by_blocks(DENSE, first, last)
    assert len(found) == 3 * (last - first + 1)
    assert {int(t.name.split(".")[2]) for t in found} == set(range(first, last + 1))


def test_blocks_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no block from 12 to 14") as refused:
        by_blocks(DENSE, 12, 14)
    assert refused.value.hint == "the blocks go from 0 to 11"
    assert block_range(ALL) == (0, 11) and block_range(ALL, "vision.blocks") == (0, 1) and block_range([HEAD]) is None
    assert by_blocks(ALL, 0, 99, "vision.blocks") == tuple(VISION)


SQNR = st.one_of(st.floats(-50, 150), st.just(inf), st.just(nan))


@given(st.lists(SQNR, min_size=len(DENSE), max_size=len(DENSE)), st.integers(1, 50), st.floats(-60, 160))
def test_none_left_out_is_worse_than_one_chosen(values: list[float], count: int, limit: float) -> None:
    known = {t.name: value for t, value in zip(DENSE, values, strict=True)}
    rank = {name: -inf if value != value else value for name, value in known.items()}
    worst = by_error(DENSE, known, worst=count)
    assert len(worst) == min(count, len(DENSE))
    left = [rank[t.name] for t in DENSE if t not in worst]
    assert max(rank[t.name] for t in worst) <= min(left, default=inf)
    assert [rank[t.name] for t in worst] == sorted(rank[t.name] for t in worst)
    below = by_error(DENSE, known, below=limit)
    assert {t.name for t in below} == {name for name, value in rank.items() if value < limit}
    assert set(by_error(DENSE, known, worst=count, below=limit)) == set(worst) & set(below)


def test_what_nothing_is_known_of_is_not_among_the_worst() -> None:
    assert by_error(DENSE, {DENSE[3].name: 10.0, "elsewhere": 1.0}, worst=5) == (DENSE[3],)
    for wrong in ({}, {"worst": 0}):
        with pytest.raises(UsageError):
            by_error(DENSE, {}, **wrong)


CHOICES = [by_place(ALL, "mlp.up_proj"), by_kind(ALL, "expert"), by_place(by_blocks(ALL, 2, 7), "mlp.down_proj")]


@pytest.mark.parametrize("chosen", CHOICES, ids=["place", "kind", "place in blocks"])
def test_one_pattern_names_just_what_was_chosen(chosen: tuple[TensorInfo, ...]) -> None:
    pattern = pattern_for(names(chosen), [t.module for t in ALL])
    assert [t.module for t in ALL if matches(pattern, t.module)] == names(chosen)


def test_what_is_asked_for_together_narrows() -> None:
    known = {t.name: float(at) for at, t in enumerate(DENSE)}
    wish = Wish("linear", "mlp.*", (2, 7), "model.layers", worst=3)
    assert names(choose(ALL, wish, known)) == [
        "model.layers.2.mlp.up_proj",
        "model.layers.2.mlp.down_proj",
        "model.layers.3.mlp.up_proj",
    ]
    assert choose(ALL, Wish()) == ALL and choose(ALL, Wish("norm", "mlp.*", (90, 91))) == ()


def test_a_survey_says_what_there_is_to_ask_for() -> None:
    found = survey(ALL)
    assert found.kinds == {"linear": 38, "expert": 24, "head": 1}
    assert found.places == places(ALL) and found.blocks == (0, 11)
    assert survey((HEAD,)).blocks is None
