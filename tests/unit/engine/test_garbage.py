"""Work that makes many values pauses the search for garbage, and leaves it as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from qtquant_app.engine.garbage import uncollected


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


def test_nothing_is_collected_within_and_all_is_as_before_afterwards_even_if_it_fails() -> None:
    gc.enable()
    with pytest.raises(ValueError, match="failed"), uncollected():
        assert not gc.isenabled()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError("failed")
    assert gc.isenabled() and not gc.get_freeze_count()


def test_where_the_search_was_off_it_stays_off() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


def test_what_was_made_within_is_not_looked_through_by_the_next_search_of_the_young() -> None:
    gc.enable()
    gc.collect()
    with uncollected():
        made = [[] for _ in range(5_000)]  # type: ignore[var-annotated]
    assert gc.get_count()[0] < 5_000 and len(made) == 5_000
