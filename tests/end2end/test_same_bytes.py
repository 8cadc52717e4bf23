"""One plan gives the same bytes, with any number of threads, in any chunks, and however often it was stopped."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import commit, cost
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import plan_for, result, weight_bytes

SCHEMES = [
    Scheme(bits=3, group_size=32, symmetric=False),
    Scheme(bits=4, group_size=16, method="mse"),
    Scheme(bits=6, strategy="tensor", group_size=None, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("source") / "m", shards=3)


@pytest.fixture(scope="module")
def wholes(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """The result of each scheme, with one thread, undisturbed."""
    found = []
    for scheme in SCHEMES:
        output = tmp_path_factory.mktemp("whole") / "out"
        result(run(plan_for(source, scheme), RunOptions(str(output), threads=1)))
        found.append(weight_bytes(output))
    return found


@given(
    which=st.integers(0, len(SCHEMES) - 1),
    threads=st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=4),
    chunk=st.one_of(st.integers(200, 20_000), st.just(4 << 20)),
    max_memory=st.sampled_from([None, 4 << 30, 64 << 30]),
    stops=st.lists(st.integers(0, 60), max_size=3),
    seconds=st.sampled_from([0.0, 2.0]),
)
@settings(max_examples=25, deadline=None)
def test_neither_threads_nor_chunks_nor_stops_change_a_byte(
    source: Path,
    wholes: list[dict[str, bytes]],
    which: int,
    threads: list[int],
    chunk: int,
    max_memory: int | None,
    stops: list[int],
    seconds: float,
) -> None:
    plan = make_plan(open_checkpoint(source), Recipe(default=SCHEMES[which]), device="cpu", max_memory=max_memory)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(cost, "CHUNK_BYTES", chunk)
        patched.setattr(commit, "SECONDS_BETWEEN_COMMITS", seconds)
        output = Path(folder) / "out"
        for at, stop in enumerate(stops):
            events = run(plan, RunOptions(str(output), resume=True, threads=threads[at % len(threads)]))
            for _ in range(stop):
                if next(events, None) is None:
                    break
            events.close()
            if output.exists():
                break
        else:
            result(run(plan, RunOptions(str(output), resume=True, threads=threads[-1])))
        assert weight_bytes(output) == wholes[which]
