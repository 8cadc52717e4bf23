"""Any tensor as rows and columns."""

from __future__ import annotations

import pytest

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.matrix import matrix_of, part_of, slices


def info(shape: tuple[int, ...], dtype: str = "BF16", kind: Kind = Kind.LINEAR, nbytes: int = 0) -> TensorInfo:
    return TensorInfo("a.weight", dtype, shape, "f", 1000, nbytes, kind)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 32), (8, 32)),
        ((32,), (1, 32)),
        ((), (1, 1)),
        ((6, 4, 3, 3), (6, 36)),
        ((1, 77, 12), (77, 12)),
        ((1, 5), (1, 5)),
    ],
)
def test_output_channels_go_down_and_all_else_across(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    found = matrix_of(info(shape))
    assert found.shape == expected == (found.rows, found.columns) and found.name == found.source == "a.weight"


def test_a_stack_of_experts_is_as_many_matrices() -> None:
    stack = info((4, 16, 32), kind=Kind.EXPERT, nbytes=4 * 16 * 32 * 2)
    assert slices(stack) == 4 and slices(info((4, 16, 32), kind=Kind.CONV)) == 1
    third = matrix_of(stack, 2)
    assert (third.name, third.source, third.shape) == ("a.weight[2]", "a.weight", (16, 32))
    assert (third.offset, third.nbytes) == (1000 + 2 * 16 * 32 * 2, 16 * 32 * 2)
    assert matrix_of(stack).name == "a.weight[0]"
    with pytest.raises(UsageError, match=r"a.weight has no slice \[4\]: it has 4 slices"):
        matrix_of(stack, 4)
    with pytest.raises(UsageError, match="it has no slices"):
        matrix_of(info((16, 32)), 0)


def test_what_has_no_numbers_is_refused() -> None:
    with pytest.raises(PlanError, match="has no weights"):
        matrix_of(info((0, 4)))
    with pytest.raises(PlanError, match="do not fill whole bytes"):
        matrix_of(info((8, 8), "F4"))


def test_a_part_is_named_by_its_slice() -> None:
    assert part_of("experts.up_proj[12]") == ("experts.up_proj", 12)
    assert part_of("a.weight") == ("a.weight", None)
    assert part_of("a[x]") == ("a[x]", None)


def test_what_a_run_quantizes_is_not_carried() -> None:
    assert not matrix_of(info((8, 32))).carried
    assert matrix_of(info((8, 32), "F8_E4M3")).carried and matrix_of(info((8, 32), kind=Kind.EMBEDDING)).carried
