"""What a run is said to cost, from shapes alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.cost import CHUNK_BYTES, Cost, Verify, chunk_rows, estimate
from qtquant_app.engine.layout import Decision, lay_out
from qtquant_app.engine.memory import peak_bytes, resident_bytes
from qtquant_app.engine.speeds import Speeds, seconds_of
from qtquant_app.formats import find

G32 = Scheme(group_size=32)
FORMAT = find("compressed-tensors")


def decided(*shapes: tuple[int, int], scheme: Scheme | None = G32) -> list[Decision]:
    return [
        Decision(TensorInfo(f"m.{i}.weight", "BF16", shape, "f", 0, 2 * shape[0] * shape[1], Kind.LINEAR), scheme)
        for i, shape in enumerate(shapes)
    ]


def cost(decisions: Sequence[Decision], verify: Verify = "full", threads: int = 2) -> Cost:
    return estimate(decisions, lay_out(decisions, FORMAT), FORMAT, "cpu", None, verify=verify, threads=threads)


def seconds(decisions: Sequence[Decision], verify: str = "full", speeds: Speeds | None = None) -> float:
    return seconds_of(decisions, lay_out(decisions, FORMAT), 0, 2, verify, speeds)


def test_what_the_process_holds_already_is_the_floor() -> None:
    found = cost(decided((32, 64)))
    assert found.ram >= peak_bytes() >= resident_bytes() - (1 << 20)
    assert found.device == 0


@pytest.mark.parametrize("verify", ["full", "quick", "none"])
def test_memory_is_bounded_by_the_chunks_not_by_the_tensors(verify: Verify) -> None:
    small, huge, eight = (
        cost(decided(*shapes), verify).ram
        for shapes in ([(1 << 13, 1 << 12)], [(1 << 22, 1 << 12)], [(1 << 22, 1 << 12)] * 8)
    )
    assert huge < small + (1 << 24)
    assert eight < huge + (1 << 24)


@given(st.integers(1, 1 << 30))
def test_a_chunk_is_a_row_at_least_and_no_more_than_its_size_otherwise(row: int) -> None:
    rows = chunk_rows(row, "cpu")
    assert rows == 1 or rows * row <= CHUNK_BYTES


@given(st.integers(1, 16))
def test_more_threads_never_hold_less(threads: int) -> None:
    large = decided((1 << 16, 1 << 14))
    assert cost(large, threads=threads + 1).ram >= cost(large, threads=threads).ram


def test_measured_speeds_decide_the_seconds_and_stand_in_for_like_work() -> None:
    work = decided((1 << 15, 1 << 14))
    slow = Speeds({"BF16 W4 g32 sym": 1e-8}, {"BF16 W4 g32 sym": 5e-9})
    nbytes = 2 << 29
    assert seconds(work, "none", slow) == pytest.approx(1e-8 * nbytes, rel=0.1)
    assert seconds(work, "full", slow) == pytest.approx(1.5e-8 * nbytes, rel=0.1)
    other = decided((1 << 15, 1 << 14), scheme=Scheme(bits=3, group_size=32))
    assert seconds(other, "full", slow) == pytest.approx(seconds(work, "full", slow), rel=0.01)
    searched = decided((1 << 15, 1 << 14), scheme=Scheme(group_size=32, method="mse"))
    assert seconds(searched, "full", slow) > 3 * seconds(work, "full", slow)


def test_verifying_less_takes_less_time() -> None:
    work = decided(*[(1 << 14, 1 << 13)] * 4)
    full, quick, none = (seconds(work, verify) for verify in ("full", "quick", "none"))
    assert full > quick > none * 0.999


def test_speeds_survive_being_kept() -> None:
    speeds = Speeds({"keep": 1e-9}, {"keep": 2e-9}, 3e-9, 4e-9)
    assert Speeds.from_json(speeds.to_json()) == speeds
    newer = Speeds({"BF16 W4 g32 sym": 5e-9}, {}, 6e-9, 7e-9)
    assert speeds.joined(newer) == Speeds({"keep": 1e-9, "BF16 W4 g32 sym": 5e-9}, {"keep": 2e-9}, 6e-9, 7e-9)
